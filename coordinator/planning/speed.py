"""The speed of a device, fitted to measured training steps, and the time that other steps would take on it. Pure.

A step takes a time for each layer, whatever its size (Python, kernel launches), and a time for each operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from paris.experts.models.flops import step_flops
from paris.experts.models.presets import ModelConfig

RECOMPUTED = 4 / 3
"""Operations with checkpointing over those without: the forward pass is computed twice."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MeasuredStep(BaseModel):
    """One measured training step."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    num_layers: Annotated[int, Field(ge=1)]
    flops: Annotated[int, Field(ge=1)]
    """Of the whole step, as `step_flops` counts."""
    seconds: Positive


class Speed(BaseModel):
    """The speed of a device in one precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flops_per_s: Positive
    layer_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Seconds for a layer of a piece of a batch, whatever its size."""

    def step_s(self, num_layers: int, flops: float, pieces: int = 1) -> float:
        """Seconds of a step.

        Args:
            num_layers: Layers of the model.
            flops: Operations of the whole step.
            pieces: Into how many pieces the batch is cut.
        """
        return pieces * num_layers * self.layer_s + flops / self.flops_per_s


def training_s(
    speed: Speed, model: ModelConfig, *, steps: int, batch_size: int, text_tokens: int | None = None
) -> float:
    """Seconds of an expert's training with its whole batch in memory.

    Args:
        speed: Of the device.
        model: The expert's shape, size of pictures included.
        steps: Optimizer steps.
        batch_size: Rows of a step.
        text_tokens: Text tokens that are no padding; None: as many as the model takes.
    """
    tokens = model.max_text_tokens if text_tokens is None else text_tokens
    return steps * speed.step_s(model.num_layers, step_flops(model, tokens, batch_size))


def fit_speed(measured: Sequence[MeasuredStep]) -> Speed:
    """The speed with the smallest relative errors of some steps (least squares; neither term is negative).

    Args:
        measured: At least one step; one alone fixes the rate of operations.

    Raises:
        ValueError: There is none.
    """
    if not measured:
        raise ValueError("A speed needs at least one measured step.")
    rows = [(step.num_layers / step.seconds, step.flops / step.seconds) for step in measured]
    layers2, flops2 = sum(a * a for a, _ in rows), sum(b * b for _, b in rows)
    both, layers1, flops1 = sum(a * b for a, b in rows), sum(a for a, _ in rows), sum(b for _, b in rows)
    determinant = layers2 * flops2 - both * both
    if determinant > 1e-9 * layers2 * flops2:
        layer_s = (layers1 * flops2 - flops1 * both) / determinant
        flop_s = (flops1 * layers2 - layers1 * both) / determinant
        if layer_s >= 0 and flop_s > 0:
            return Speed(flops_per_s=1 / flop_s, layer_s=layer_s)
    return Speed(flops_per_s=flops2 / flops1)
