"""Flow matching on the straight path from data (t = 0) to noise (t = 1).

Shapes: x0 and noise `[B, ...]`, t `[B]` in [0, 1].

Source: Lipman et al., arXiv 2210.02747, and Liu et al., arXiv 2209.03003: the linear path.
"""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point of the path at time t: `x_t = (1 - t) x0 + t noise`."""
    weight = t.to(x0.dtype).reshape(-1, *[1] * (x0.dim() - 1))
    return torch.lerp(x0, noise, weight)


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """The path's time derivative, which the model predicts: `v = d x_t / dt = noise - x0`."""
    return noise - x0
