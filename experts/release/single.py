"""A model of one expert, in the layout of the model that it was distilled from: one network and no choice."""

from __future__ import annotations

from pathlib import Path

from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import initial_router
from paris.experts.objectives.objectives import Objective
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.settings import SamplingSettings

_ALSO_OF_ONE = ("num_steps", "guidance_scale", "solver", "time_shift", "guidance_interval", "guidance_every")
"""Sampling settings that do not speak of routing."""


def smallest_router(model: ModelConfig, num_experts: int) -> RouterConfig:
    """The smallest router of a model, for a layout that asks for one where there is nothing to choose.

    Args:
        model: Whose pictures it reads.
        num_experts: Experts that it tells apart.
    """
    size = {"image_size": model.image_size, "patch_size": model.image_size, "in_channels": model.in_channels}
    return RouterConfig(**size, hidden_size=4, num_layers=1, num_heads=1, num_clusters=num_experts)


def single_layout(layout: Layout, name: str) -> Layout:
    """What the folder of one dense model says that stands for a model of several experts.

    Args:
        layout: Of the several: text, codec, shape and way of sampling stay.
        name: What the one is called.
    """
    kept = {field: getattr(layout.sampling, field) for field in _ALSO_OF_ONE}
    if layout.sampling.guidance_away_from == "ensemble":
        # Asking seldom was to pay for asking all; one model is asked at every step, as it always was.
        kept["guidance_every"] = 1
    changed = {
        "name": name,
        "num_experts": 1,
        "objectives": (Objective(),),
        "router": smallest_router(layout.model, 1),
        "prompt_router": None,
        "sampling": SamplingSettings(**kept, routing="top1"),
    }
    return Layout.from_settings({**dict(layout), **changed})


def write_single(folder: Path, layout: Layout, expert: DiTExpert | Path, parts: Path) -> None:
    """Write a model of one expert; its router is never of any weight, and asking it costs next to nothing.

    Args:
        folder: Where to; made where it does not exist.
        layout: From `single_layout`.
        expert: The model or its safetensors file.
        parts: Where text encoder and codec are taken from.

    Raises:
        LayoutError: A part is missing in `parts`.
        CheckpointError: The file has not the names and shapes of the layout's model.
        DiskFullError: No space; the folder has no root config.json then.
    """
    write_layout(folder, layout, [expert], initial_router(layout.router, 0), parts)
