"""DDPM noise schedules in continuous time: `x_t = alpha(t) x0 + sigma(t) noise`, `alpha^2 + sigma^2 = 1`.

Time is in [0, 1]: step i of 1000 discrete ones, from 0, is `t = (i + 1) / 1000`; their alpha_bar is `alpha^2` here.
Compared with diffusers' `DDPMScheduler`:

    cosine   equal to "squaredcos_cap_v2" but for the last step, whose beta is capped at 0.999 there; here alpha(1) = 0
    linear   the limit of infinitely many steps; alpha differs by less than 0.0015 from "linear" with 1000 steps

Shapes: B rows; times, signals and noises are `[B]`, float32 or float64.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

ScheduleName = Literal["cosine", "linear"]

_OFFSET = 0.008
"""Keeps the first noise of the cosine schedule from being too small (arXiv 2102.09672, section 3.2)."""
_COSINE_START = _OFFSET / (1.0 + _OFFSET) * math.pi / 2
"""The angle u at t = 0; it reaches pi / 2 at t = 1."""
_BETA_FIRST, _BETA_LAST = 0.1, 20.0
"""1000 times the first and last beta of the linear schedule (arXiv 2006.11239, section 4)."""


def signal_and_noise(schedule: ScheduleName, t: Tensor) -> tuple[Tensor, Tensor]:
    """`alpha` and `sigma`, `[B]` each, at times `t` `[B]` in [0, 1]; 1 is noise.

    Source: cosine, Nichol and Dhariwal, arXiv 2102.09672, equation 17, as `alpha = cos(u) / cos(u_0)` with
        `u = (t + s) / (1 + s) * pi / 2`. Linear, Ho et al., arXiv 2006.11239, in the limit of Song et al., arXiv
        2011.13456, equation 33: `-2 log alpha = b_0 t + (b_1 - b_0) t^2 / 2`.
    """
    if schedule == "cosine":
        passed = t / (1.0 + _OFFSET) * (math.pi / 2)
        angle = passed + _COSINE_START
        # 1 - alpha^2 in a form that does not cancel near t = 0.
        noise = (passed.sin() * (angle + _COSINE_START).sin()).clamp(min=0).sqrt() / math.cos(_COSINE_START)
        return angle.cos().clamp(min=0) / math.cos(_COSINE_START), noise.clamp(max=1)
    lost = _BETA_FIRST * t + (_BETA_LAST - _BETA_FIRST) / 2 * t.square()
    return torch.exp(-lost / 2), (-torch.expm1(-lost)).sqrt()


def time_at(schedule: ScheduleName, signal: Tensor, noise: Tensor) -> Tensor:
    """Times `[B]` in [0, 1] with this signal and noise `[B]`: the inverse of `signal_and_noise`.

    The linear schedule ends at alpha 0.0066; less signal gives 1.
    """
    if schedule == "cosine":
        across, along = math.sin(_COSINE_START), math.cos(_COSINE_START)
        angle = torch.atan2((across**2 + (along * noise).square()).sqrt(), along * signal)
        return ((1.0 + _OFFSET) * angle * (2 / math.pi) - _OFFSET).clamp(0, 1)
    lost = torch.log1p((noise / signal).square())
    slope = _BETA_LAST - _BETA_FIRST
    return (((_BETA_FIRST**2 + 2 * slope * lost).sqrt() - _BETA_FIRST) / slope).clamp(0, 1)
