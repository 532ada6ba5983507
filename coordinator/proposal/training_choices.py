"""Pure: shape of the model, batch, steps and time limits."""

from __future__ import annotations

import math
from typing import Any

from paris.coordinator.proposal.sizing import (
    DEADLINE_MARGIN,
    MIN_DEADLINE_S,
    batch_for,
    slow_work_s,
    steps_for,
)
from paris.coordinator.proposal.wishes import Reasons, Wishes
from paris.coordinator.run.shapes import expert_fields
from paris.experts.models.presets import ModelConfig, model_preset, router_preset

_TINY_ROWS, _TINY_SIDE_PX = 3200, 32
_USUAL_MIN_ROWS = 20
_SMALLEST_CLUSTER = 0.85
"""Of the mean, with balance = 1.1 and some room."""
_LEAST_SHARE_OF_STEPS = 0.1
_INPUT = ("image_size", "in_channels")
_USUAL_BATCH = 32
"""Of a recipe that names none, as in RunConfig."""


def is_tiny(rows: int, side_px: int, wishes: Wishes) -> bool:
    """Whether the demo's small model is large enough."""
    return wishes.recipe is None and wishes.preset is None and rows < _TINY_ROWS and side_px <= _TINY_SIDE_PX


def choose_model(base: dict[str, Any], side_px: int, wishes: Wishes) -> dict[str, Any]:
    """[model] and [router] for a side.

    Args:
        base: The settings to start from.
        side_px: Side of the squares.
        wishes: May name a preset.
    """
    model, router = dict(base["model"]), dict(base["router"])
    if wishes.preset is not None:
        model = {"preset": wishes.preset, "overrides": {}}
    is_vae = base["codec"]["kind"] == "vae"
    side = side_px // 8 if is_vae else side_px
    wanted = {**model.get("overrides", {}), "image_size": side}
    if not is_vae:
        wanted = {"patch_size": 4, **wanted, "in_channels": 3}
    preset = model_preset(model["preset"]).to_settings()
    model["overrides"] = {name: value for name, value in wanted.items() if preset[name] != value}
    router["overrides"] = _router_shape(router, side)
    return {"model": model, "router": router}


def _router_shape(router: dict[str, Any], side: int) -> dict[str, Any]:
    """Overrides of the router's preset: its input is the expert's, and its patch is halved until it fits."""
    own = {name: value for name, value in router.get("overrides", {}).items() if name not in _INPUT}
    patch = own.get("patch_size", router_preset(router["preset"], 1).patch_size)
    if side % patch == 0:
        return own
    while side % patch:
        patch //= 2
    return {**own, "patch_size": patch}


def choose_training(
    base: dict[str, Any], shapes: dict[str, Any], rows: int, experts: int, wishes: Wishes, reasons: Reasons
) -> dict[str, Any]:
    """[training] and [tasks].

    Args:
        base: The settings to start from.
        shapes: [model] and [text].
        rows: Pictures that are expected to be left.
        experts: K.
        wishes: May name the steps.
        reasons: Receives why.
    """
    training, tasks = dict(base["training"]), dict(base["tasks"])
    each = _batch(training, base, rows, experts, wishes)
    steps = _steps(base, rows, wishes, reasons)
    passes = steps * each * experts / rows
    why = f"{passes:.0f} passes over the pictures at {each * experts} rows a step, {each} an expert."
    reasons.add("training.total_batch_size", each * experts, f"{each} rows an expert, of {rows // experts}.")
    reasons.add("tasks.steps", steps, why)
    if wishes.recipe is None:
        model = shapes["model"]
        shape = ModelConfig.from_settings(expert_fields(model["preset"], model["overrides"], shapes["text"]))
        work_s = slow_work_s(shape, each, steps)
        deadline_s, why = DEADLINE_MARGIN * work_s, f"{DEADLINE_MARGIN} times the work of two slow cores"
    else:
        deadline_s, why = tasks["deadline_s"] * steps / base["tasks"]["steps"], "The recipe's, for these steps"
    if deadline_s < MIN_DEADLINE_S:
        deadline_s, why = MIN_DEADLINE_S, "Short work has some time to start"
    deadline_s = float(math.ceil(deadline_s / 60) * 60)
    reasons.add("tasks.deadline_s", f"{deadline_s:.0f}", f"{why}: {deadline_s / 3600:.1f} hours.")
    tasks |= {"steps": steps, "deadline_s": deadline_s, "grace_s": max(120.0, round(deadline_s / 20))}
    training["warmup_steps"] = min(int(training.get("warmup_steps", 0)), steps // 10)
    training["snapshot_every"] = max(1, min(int(training.get("snapshot_every", 1000)), steps // 10))
    return {"training": training, "tasks": tasks}


def choose_min_rows(rows: int, experts: int, heldout: int, reasons: Reasons) -> dict[str, int]:
    """`tasks.min_rows`, where the smallest cluster may have fewer rows than usual."""
    least = int(rows / experts * _SMALLEST_CLUSTER) - heldout
    if least >= _USUAL_MIN_ROWS:
        return {}
    reasons.add("tasks.min_rows", max(1, least), "So few are left in the smallest cluster, beside the held-out ones.")
    return {"min_rows": max(1, least)}


def _batch(training: dict[str, Any], base: dict[str, Any], rows: int, experts: int, wishes: Wishes) -> int:
    """Rows of one expert's step; sets the total."""
    if wishes.recipe is None:
        each = batch_for(rows // experts)
    elif "total_batch_size" in training:
        each = max(1, int(training["total_batch_size"]) // base["run"]["num_experts"])
    else:
        return int(training.get("batch_size", _USUAL_BATCH))
    training["total_batch_size"] = experts * each
    return each


def _steps(base: dict[str, Any], rows: int, wishes: Wishes, reasons: Reasons) -> int:
    """Steps of an expert: wished, by rows, or the recipe's, for its number of pictures."""
    if wishes.steps is not None:
        return wishes.steps
    if wishes.recipe is None:
        return steps_for(rows)
    steps, meant = int(base["tasks"]["steps"]), base.get("about", {}).get("pictures")
    if meant is None or rows >= meant:
        return steps
    return max(1, round(steps * max(_LEAST_SHARE_OF_STEPS, math.sqrt(rows / meant))))
