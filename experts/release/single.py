"""A model of one expert, such as one that was distilled from a model of several, in the layout of that model."""

from __future__ import annotations

from pathlib import Path

from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import initial_router
from paris.experts.objectives.objectives import Objective
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing


def smallest_router(model: ModelConfig, num_experts: int) -> RouterConfig:
    """The smallest router of a model: a folder must have one, also where there is one expert alone."""
    size = {"image_size": model.image_size, "patch_size": model.image_size, "in_channels": model.in_channels}
    return RouterConfig(**size, hidden_size=4, num_layers=1, num_heads=1, num_clusters=num_experts)


def single_layout(layout: Layout, name: str) -> Layout:
    """The layout of one dense model in place of a model of several; steps and solver stay, and guidance by text."""
    guidance = layout.sampling.guidance
    # Guidance at every n-th step paid for the ensemble's second expert; one model needs no second.
    every = 1 if guidance.away_from == "ensemble" else guidance.every
    guidance = guidance.model_copy(update={"away_from": "expert", "every": every})
    if not layout.text.reads_text:
        guidance = Guidance()  # one model alone has nothing to be guided by
    changed = {
        "name": name,
        "num_experts": 1,
        "sizes": (),
        "objectives": (Objective(),),
        "router": smallest_router(layout.model, 1),
        "prompt_router": None,
        "sampling": layout.sampling.model_copy(update={"guidance": guidance, "routing": Routing.named("top1")}),
    }
    return Layout.from_settings({**dict(layout), **changed})


def write_single(folder: Path, layout: Layout, expert: DiTExpert | Path, frozen: Path) -> None:
    """Write a model of one expert, with a tiny router that always gives it weight 1.

    Args:
        folder: Made where it does not exist.
        layout: From `single_layout`.
        expert: The model or its safetensors file.
        frozen: The folder of text encoder and codec.

    Raises:
        ExpertError: As `write_layout`.
    """
    write_layout(folder, layout, [expert], initial_router(layout.router, 0), frozen)
