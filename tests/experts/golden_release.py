"""A small release of three experts that learned different things, and the pictures it draws."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from golden_values import Golden, digest, one_thread, summary
from plain_paris import scramble
from tiny_training import MODEL, WORDS, make_task

from paris.experts import ParisPipeline
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import RouterConfig
from paris.experts.models.prompt_router import PromptRouter, PromptRouterConfig
from paris.experts.models.router import initial_router
from paris.experts.objectives.objectives import Objective
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings

OBJECTIVES = (Objective(), Objective(kind="epsilon"), Objective())
# Five steps: with four, a step is a power of two, and rounding hides in which order a product is taken.
USUAL = {"num_steps": 5, "guidance_scale": 2.0, "routing": "top2", "solver": "euler"}
SETTINGS = {
    **{f"solver {name}": {"solver": name} for name in ("euler", "heun", "ab2", "ab3", "dpmpp-2m")},
    **{f"routing {name}": {"routing": name} for name in ("top1", "full", "ancestral")},
    "routing threshold": {"routing": "threshold", "routing_threshold": 0.3},
    "unguided": {"guidance_scale": 1.0},
    "guided in an interval": {"guidance_interval": (0.2, 0.8)},
    "guided every second step": {"guidance_every": 2},
    "guided away from the ensemble": {"guidance_away_from": "ensemble", "guidance_every": 2, "routing": "ancestral"},
    "short steps near noise": {"time_shift": 3.0},
    "router asked seldom": {"router_every": 2, "routing_temperature": 2.0, "sure_above": 0.9},
    "experts drawn again": {"routing": "ancestral", "redecide_below": 0.5},
}
"""What differs from `USUAL`, in the words of a release's config.json."""
SCHEDULERS = {
    "scheduler FlowMatchEuler": lambda: FlowMatchEulerDiscreteScheduler(shift=3.0),
    "scheduler UniPC": lambda: UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0
    ),
}
_ROUTER = RouterConfig(
    image_size=8, in_channels=3, patch_size=4, hidden_size=16, num_layers=1, num_heads=2, num_clusters=len(OBJECTIVES)
)
_PROMPTS = ["red heart", "blue dog"]


def make_release(folder: Path) -> Path:
    """Write the release; random weights, so that no part of a network is zero."""
    parts = folder.with_name(f"{folder.name}-parts")
    write_vocabulary(parts / "vocab.json", WORDS)
    prompt_router = PromptRouterConfig(text_embed_dim=MODEL.text_embed_dim, hidden_size=8, num_clusters=len(OBJECTIVES))
    layout = Layout(
        name="Golden",
        num_experts=len(OBJECTIVES),
        model=MODEL,
        objectives=OBJECTIVES,
        router=_ROUTER,
        text=make_task().text.model_copy(update={"path": "vocab.json"}),
        codec=CodecConfig(),
        prompt_router=prompt_router,
        # The default of the version that made the golden values.
        sampling=SamplingSettings(
            guidance=Guidance(scale=7.5, every=2, away_from="ensemble"), routing=Routing.named("ancestral")
        ),
    )
    experts = [scramble(initial_expert(MODEL, number), number) for number in range(len(OBJECTIVES))]
    router = scramble(initial_router(_ROUTER, 0), 8)
    write_layout(folder, layout, experts, router, parts, scramble(PromptRouter(prompt_router), 9))
    return folder


def golden_pictures(folder: Path) -> dict[str, Golden]:
    """The release's files, and pictures of each case by name."""
    release = make_release(folder / "release")
    made = {"files": _files(release)}
    with one_thread():
        for name, changed in SETTINGS.items():
            made[name] = _pictures(_loaded(release, changed))
        several = {"negative_prompt": "cat", "num_images_per_prompt": 2}
        made["negative prompt, two pictures a prompt"] = _pictures(_loaded(release, {}), **several)
        made["one expert resident"] = _pictures(_loaded(release, {}, max_resident_experts=1))
        for name, scheduler in SCHEDULERS.items():
            pipeline = _loaded(release, {})
            pipeline.scheduler = scheduler()
            made[name] = _pictures(pipeline)
    return made


def _files(release: Path) -> Golden:
    """Settings do not depend on the machine; random weights do, and model_index.json names the version of diffusers."""
    digests = {str(p.relative_to(release)): file_sha256(p) for p in sorted(release.rglob("*")) if p.is_file()}
    same = {name: sha256 for name, sha256 in digests.items() if name.endswith(("config.json", "vocab.json"))}
    return Golden(same=same, bits={name: sha256 for name, sha256 in digests.items() if name not in same})


def _loaded(release: Path, changed: dict[str, object], **how: object) -> ParisPipeline:
    """The release, whose config.json says how it is sampled."""
    path = release / "config.json"
    fields = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**fields, "sampling": {**USUAL, **changed}}), "utf-8")
    pipeline = ParisPipeline.from_pretrained(release, device="cpu", **how)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _pictures(pipeline: ParisPipeline, **asked: object) -> Golden:
    latents = pipeline(_PROMPTS, generator=3, output_type="latent", **asked).images
    pixels = [np.asarray(image) for image in pipeline(_PROMPTS, generator=3, **asked).images]
    return Golden(
        bits={
            "latents": digest({"latents": latents}),
            "pixels": hashlib.sha256(b"".join(image.tobytes() for image in pixels)).hexdigest(),
        },
        near={
            **{f"latents {number}": summary(row) for number, row in enumerate(latents)},
            # A grid of 2x2 pixels of each picture, red, green and blue, from 0 to 1.
            **{f"pixels {n}": (image[2::4, 2::4].flatten() / 255).round(4).tolist() for n, image in enumerate(pixels)},
        },
    )
