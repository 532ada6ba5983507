"""(b) Quality and cost of sampling settings: distances between samples of a trained small model and data.

Cost is counted, not timed: rows through experts and router, in units of a row of a DiT-B/2 expert. The search uses one
set of seeds; the result and the reference are also compared on another set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.small.folder import TrainedFolder
from benchmarks.small.pictures import SmallDataError
from paris.experts.pipeline.drawing import encode_prompts
from paris.experts.sampling.experts import Ensemble
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.sample import Step, generators_of, initial_noise, integrate, uniforms_of
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.solvers import flow_times, new_solver

REFERENCE = SamplingSettings(num_steps=50, guidance=Guidance(scale=7.5), solver="euler")
"""The usual settings."""
ALLOWED = 1.02
"""Factor of the reference's distance that counts as equal quality."""
ALLOWED_UNRECOGNISED = 0.01
"""Allowed loss in the share of recognised pictures, against the reference."""
ROUTER_ROW = 0.85
"""Cost of a row of a B/2 router in rows of a B/2 expert: multiplications a layer, 12 N D^2 + 2 N^2 D against
14 N D^2 + 2 N^2 D + 2 N L D, with N = 256 tokens, L = 77 and D = 768."""
_ROWS_AT_ONCE = 250


@dataclass(frozen=True)
class Measured:
    """One way of sampling."""

    settings: SamplingSettings
    distance: float
    """Frechet distance from held-out data on the classifier's features."""
    recognised: float
    """Share of pictures that show their prompt's digit."""
    expert_rows: float
    """Rows through experts, a picture."""
    router_rows: float
    """Rows through the router, a picture."""

    @property
    def cost(self) -> float:
        """In rows of a DiT-B/2 expert, a picture."""
        return self.expert_rows + ROUTER_ROW * self.router_rows

    def equals(self, reference: Measured) -> bool:
        """Whether this is of the reference's quality, by distance and by prompt."""
        return (
            self.distance <= ALLOWED * reference.distance
            and self.recognised >= reference.recognised - ALLOWED_UNRECOGNISED
        )

    def row(self, name: str) -> dict[str, Any]:
        """For the results."""
        return {
            "name": name,
            **{key: value for key, value in self.settings.to_settings().items() if value is not None},
            "distance": round(self.distance, 3),
            "recognised": round(self.recognised, 3),
            "expert_rows": round(self.expert_rows, 2),
            "router_rows": round(self.router_rows, 2),
            "cost": round(self.cost, 2),
        }


def measure(digits: TrainedFolder, settings: SamplingSettings, num_pictures: int, first_seed: int) -> Measured:
    """Sample for the captions of held-out pictures and compare with these.

    Args:
        digits: A trained folder.
        settings: How to sample.
        num_pictures: N.
        first_seed: Of the first picture; the next has the next.
    """
    judge = digits.judge
    places = judge.prompts(num_pictures)
    prompts = [judge.heldout.captions[place] for place in places]
    pictures, expert_rows, router_rows = [], 0, 0
    for begin in range(0, num_pictures, _ROWS_AT_ONCE):
        field = field_of(digits, prompts[begin : begin + _ROWS_AT_ONCE], settings, first_seed + begin)
        *_, last = run(field, settings, first_seed + begin)
        pictures.append(digits.ensemble.decoded(last.x))
        expert_rows, router_rows = expert_rows + field.num_expert_rows, router_rows + field.num_router_rows
    every = np.concatenate(pictures)
    return Measured(
        settings,
        judge.frechet_of(every),
        judge.recognised(every, judge.heldout.labels[places]),
        expert_rows / num_pictures,
        router_rows / num_pictures,
    )


def field_of(
    digits: TrainedFolder, prompts: Sequence[str], settings: SamplingSettings, first_seed: int
) -> VelocityField:
    """The trained model's velocity for some prompts.

    Args:
        digits: A trained folder.
        prompts: One a picture.
        settings: How to sample.
        first_seed: Of the first picture, as in `run`: ancestral routing draws an expert with it.

    Raises:
        SmallDataError: The folder has one expert alone.
    """
    model, is_guided = digits.ensemble, settings.guidance.is_on
    encoded = encode_prompts(model.text_encoder, model.prompt_router, prompts, is_guided=is_guided)
    if model.router is None:
        raise SmallDataError(f"{digits.folder} has no router.", "Train it with several experts.")
    generators = generators_of(range(first_seed, first_seed + len(prompts)))
    initial_noise(generators, model.experts.picture_shape)  # drawn first, as in every sampling run
    field_model = Ensemble(model.experts, model.router)
    return VelocityField(field_model, encoded, settings.guidance, settings.routing, uniforms_of(generators))


def run(field: VelocityField, settings: SamplingSettings, first_seed: int) -> Iterator[Step]:
    """A sampling run, step by step.

    Args:
        field: The velocity.
        settings: Solver and steps; the rest is the field's own.
        first_seed: Of the first picture; the next has the next.
    """
    x = initial_noise(range(first_seed, first_seed + field.num_rows), field.picture_shape)
    times = flow_times(settings.num_steps, settings.time_shift)
    return integrate(field, x, times, new_solver(settings.solver))
