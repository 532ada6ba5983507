"""Mixed precision: autocast, and the loss scale without which float16 loses small gradients.

Weights, optimizer and EMA are float32 in all precisions.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor

from paris.experts.errors import SettingsError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FIRST_SCALE = 2.0**14
_LARGEST_SCALE = 2.0**24
_STEPS_TO_DOUBLE = 1000


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Compute a model in a precision of `BaseTrainingConfig`."""
    dtype = _DTYPES[precision]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def check_precision(device: torch.device, precision: str) -> None:
    """Raise SettingsError if the device lacks a precision."""
    if precision == "float32":
        return
    is_supported = torch.amp.autocast_mode.is_autocast_available(device.type)
    if is_supported and precision == "bfloat16" and device.type == "cuda":
        is_supported = torch.cuda.is_bf16_supported()
    if not is_supported:
        raise SettingsError(
            f"The run computes in {precision}, which the device {str(device)!r} does not support.",
            "Train on another device, or join a run that computes in float32.",
        )


class LossScale:
    """A factor in the loss that adapts: halved by a step whose gradients overflow, which changes no weight, and doubled
    after 1000 good steps. A power of two, so that it rounds nothing. It stays on the device.

    Source: Micikevicius et al., arXiv 1710.03740, section 3.2.
    """

    @staticmethod
    def is_reachable(scale: float, good_steps: float) -> bool:
        """Whether training can have this state: neither is a not-a-number."""
        is_power = 1.0 <= scale <= _LARGEST_SCALE and math.frexp(scale)[0] == 0.5
        return is_power and 0.0 <= good_steps < _STEPS_TO_DOUBLE and good_steps.is_integer()

    def __init__(self, device: torch.device) -> None:
        self.state = torch.tensor([_FIRST_SCALE, 0.0], device=device)
        """The scale, and good steps since it changed `[2]`; part of a snapshot."""

    @property
    def scale(self) -> Tensor:
        """The present factor `[]`."""
        return self.state[0]

    def update(self, norm: Tensor) -> Tensor:
        """Adapt to the norm `[]` of a step's scaled gradients; returns 1.0 if they overflowed, else 0.0 `[]`."""
        is_overflow = ~norm.isfinite()
        scale, good_steps = self.state.unbind()
        good_steps = torch.where(is_overflow, 0.0, good_steps + 1)
        is_doubled = good_steps >= _STEPS_TO_DOUBLE
        scale = torch.where(is_overflow, (scale / 2).clamp(min=1.0), torch.where(is_doubled, scale * 2, scale))
        self.state.copy_(torch.stack([scale.clamp(max=_LARGEST_SCALE), torch.where(is_doubled, 0.0, good_steps)]))
        return is_overflow.float()
