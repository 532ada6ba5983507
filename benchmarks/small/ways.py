"""Sampling methods of an arm, with their cost and quality.

"alone"         the monolith, without routing
"top1" ...      as in the papers: by the router of noisy pictures, at every step
"top1+prompt"   the same, combined with the prompt router by Bayes' rule
"ancestral"     one expert per picture, drawn from p(k | prompt) and kept
"ancestral<0.5" the same, but drawn again by picture and prompt below flow time 0.5
"top2+prompt~2" the posterior at temperature 2, which flattens it; below 1 sharpens it
"top2+prompt~c" the posterior at the temperatures that calibrate it, one for each tenth of flow time
"top2+prompt/5" the router is evaluated only at every fifth step
"ancestral!2"   guided relative to the unconditional prediction of all experts, evaluated at every second step
"prior"         as ancestral without a prompt: one expert, drawn from p(k) and kept
"oracle"        the expert of the cluster that the prompt's own held-out picture belongs to
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.small.arms import Arm
from benchmarks.small.calibration import calibration_by_noise
from benchmarks.small.clusters import heldout_homes
from benchmarks.small.judge import Judge, new_words_expected
from benchmarks.small.parts import load_part
from benchmarks.small.pictures import SmallDataError
from benchmarks.small.routers import load_routers
from benchmarks.small.settings import SmallSettings
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.flops import forward_flops, router_flops
from paris.experts.models.model import DiTExpert
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.pipeline.drawing import encode_prompts
from paris.experts.sampling.experts import Ensemble, ExpertMap, RouterModel
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.sample import generators_of, initial_noise, integrate, uniforms_of
from paris.experts.sampling.solvers import flow_times, new_solver

ALONE = "alone"
CORE = (
    "top1",
    "top2",
    "full",
    "threshold",
    "top1+prompt",
    "top2+prompt",
    "full+prompt",
    "prior",
    "ancestral",
    "oracle",
)
NUM_STEPS = 25
SOLVER = "ab2"
_FIELDS = ("redecide_below", "temperature", "router_every")
_CALIBRATED = "c"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_NAME = re.compile(
    rf"(?P<rule>[a-z0-9]+)(?P<joined>\+prompt)?(?:<(?P<redecide_below>{_NUMBER}))?(?:~(?P<temperature>{_NUMBER}|{_CALIBRATED}))?"
    r"(?:/(?P<router_every>[0-9]+))?(?:!(?P<guidance_every>[0-9]+))?"
)
_FIRST_SEED = 1_000_000
_ROWS_AT_ONCE = 250


class Way(NamedTuple):
    """One way of sampling."""

    name: str
    routing: Routing
    asks_prompt: bool = True
    """Whether the prompt router is used."""
    is_oracle: bool = False
    is_calibrated: bool = False
    """The posterior of picture and prompt at the temperatures of `calibration.py`."""
    guidance: Guidance = Guidance()
    """When and away from what, if at all."""


class Drawn(NamedTuple):
    """Samples, and what they took."""

    pictures: np.ndarray
    """float32 in [0, 1], `[N, S, S, 3]`."""
    expert_rows: float
    """Rows through experts, a picture."""
    router_rows: float
    """Rows through the router, a picture."""
    expert_flops: float
    """Products of the experts, a picture, each expert counted at its own size."""


def way(name: str) -> Way:
    """The way of a name.

    Raises:
        SamplingError: No routing has this name.
        SmallDataError: Not such a name.
        SettingsError: A number is out of range.
    """
    if name in (ALONE, "oracle"):
        return Way(name, Routing(max_experts=1, ancestral=name == "oracle"), is_oracle=name == "oracle")
    if name == "prior":
        return Way(name, Routing.named("ancestral"), asks_prompt=False)
    found = _NAME.fullmatch(name)
    if found is None:
        raise SmallDataError(f"There is no way {name!r} of sampling.", f"Known: {__doc__}")
    rule, is_joined = Routing.named(found["rule"]), found["joined"] is not None
    is_calibrated, every = found["temperature"] == _CALIBRATED, found["guidance_every"]
    if is_calibrated and rule.ancestral:
        raise SmallDataError(f"{name!r}: what ancestral routing draws by is not calibrated.", f"Known: {__doc__}")
    given = {field: found[field] for field in _FIELDS if found[field] not in (None, _CALIBRATED)}
    rule = Routing.from_settings({**rule.to_settings(), **{field: json.loads(text) for field, text in given.items()}})
    guidance = Guidance.from_settings({"away_from": "ensemble", "every": int(every)}) if every else Guidance()
    return Way(name, rule, asks_prompt=is_joined or rule.ancestral, is_calibrated=is_calibrated, guidance=guidance)


class TrainedArm:
    """An arm's trained parts in memory.

    Args:
        folder: The benchmark's folder.
        settings: The folder's.
        arm: Which.
        without: Numbers of the experts to leave out, as if untrained.
    """

    def __init__(self, folder: Path, settings: SmallSettings, arm: Arm, without: tuple[int, ...] = ()) -> None:
        self.arm, self._settings, self._folder = arm, settings, folder
        self._flops = 0
        experts = {
            k: as_velocity(self._counted(load_part(folder, part)), Objective(kind=part.objective))
            for k, part in enumerate(arm.parts)
            if k not in without
        }
        self.experts = ExpertMap(experts)
        routers = None if arm.is_monolith else load_routers(folder, arm.routers or arm.clustering)
        self.router = routers.picture if routers else None
        self.prompt_router = routers.prompt if routers else None
        self.text_encoder = load_text_encoder(settings.text, folder / "data")
        self.codec = load_codec(CodecConfig(), folder / "data")
        self._homes = None if arm.is_monolith else heldout_homes(folder, arm.clustering)

    def draw(
        self, judge: Judge, way: Way, num_pictures: int, guidance_scale: float, first_seed: int = _FIRST_SEED
    ) -> Drawn:
        """Samples for the captions of held-out rows, each from its own seed: the same for every arm and way.

        Args:
            judge: Says which captions.
            way: How to sample.
            num_pictures: N.
            guidance_scale: 1 is no guidance.
            first_seed: Of the first picture; the next has the next.
        """
        places, parts, expert_rows, router_rows = judge.prompts(num_pictures), [], 0, 0
        self._flops = 0
        for begin in range(0, num_pictures, _ROWS_AT_ONCE):
            some = places[begin : begin + _ROWS_AT_ONCE]
            prompts = self._prompts(judge, some, way, guidance_scale)
            router = self.router
            if way.is_calibrated:
                router, prompts = self._calibrated(prompts.posterior), replace(prompts, posterior=None)
            generators = generators_of(range(first_seed + begin, first_seed + begin + len(some)))
            x = initial_noise(generators, self._shape)
            guidance = way.guidance.model_copy(update={"scale": guidance_scale})
            model = Ensemble(self.experts, router)
            field = VelocityField(model, prompts, guidance, way.routing, uniforms_of(generators))
            *_, last = integrate(field, x, flow_times(NUM_STEPS), new_solver(SOLVER))
            parts.append(self.decoded(last.x))
            expert_rows, router_rows = expert_rows + field.num_expert_rows, router_rows + field.num_router_rows
        counts = (count / num_pictures for count in (expert_rows, router_rows, self._flops))
        return Drawn(np.concatenate(parts), *counts)

    def figures(
        self, judge: Judge, way: Way, num_pictures: int, guidance_scale: float
    ) -> tuple[dict[str, Any], np.ndarray]:
        """What a way is worth and costs, and the pictures."""
        drawn = self.draw(judge, way, num_pictures, guidance_scale)
        labels = judge.heldout.labels[judge.prompts(num_pictures)]
        asked = drawn.router_rows * router_flops(self._settings.router(len(self.arm.parts)))
        cost = {"expert_rows": round(drawn.expert_rows, 2), "router_rows": round(drawn.router_rows, 2)}
        cost["sampling_mflops"] = round((drawn.expert_flops + asked) / 1e6, 2)
        return {"guidance_scale": guidance_scale, **judge.figures(drawn.pictures, labels), **cost}, drawn.pictures

    def decoded(self, x: torch.Tensor) -> np.ndarray:
        """Pictures as the judge takes them, `[N, S, S, 3]`, of what a model made `[N, C, S, S]`."""
        pictures = self.codec.decode(x) / np.float32(255)
        return np.broadcast_to(pictures, (*pictures.shape[:3], 3))

    def _calibrated(self, posterior: PromptPosterior | None) -> RouterModel:
        router, evidence = self.router, None if posterior is None else posterior.evidence
        if router is None or evidence is None or self.arm.routers:
            raise SmallDataError(
                "Only a posterior by Bayes' rule, of routers of data, is calibrated.", "Ask for RULE+prompt~c."
            )

        def asked(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            level = min(int(times[0].item() * len(self._temperatures)), len(self._temperatures) - 1)
            return (router(x, times) + evidence) / self._temperatures[level]

        return asked

    @cached_property
    def _temperatures(self) -> list[float]:
        rows = calibration_by_noise(self._folder, self.arm.clustering)
        return [row["with_prompt"]["temperature"] for row in rows]

    def _counted(self, model: DiTExpert) -> DiTExpert:
        row = sum(forward_flops(model.config, model.config.max_text_tokens).values())

        def count(_model: torch.nn.Module, _given: Any, velocity: torch.Tensor) -> None:
            self._flops += len(velocity) * row

        model.register_forward_hook(count)
        return model

    @property
    def _shape(self) -> tuple[int, int, int]:
        model = self._settings.model
        return model.in_channels, model.image_size, model.image_size

    def _prompts(self, judge: Judge, places: np.ndarray, way: Way, guidance_scale: float) -> Prompts:
        prompts = [judge.heldout.captions[place] for place in places]
        router = self.prompt_router if way.asks_prompt else None
        with new_words_expected():
            encoded = encode_prompts(self.text_encoder, router, prompts, is_guided=guidance_scale != 1.0)
        if not way.is_oracle or self._homes is None:
            return encoded
        certain = torch.full((len(places), len(self.arm.parts)), -1e9)
        certain[torch.arange(len(places)), torch.from_numpy(self._homes[places])] = 0.0
        return replace(encoded, posterior=PromptPosterior(certain, torch.zeros_like(certain)))
