"""Flow matching on the straight path from data (t = 0) to noise (t = 1).

Shapes: B rows; x0, noise and velocity are `[B, ...]`, t is `[B]` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at time t on the path: `x_t = (1 - t) x0 + t noise`.

    Args:
        x0: Data `[B, ...]`.
        noise: Standard normal `[B, ...]`.
        t: Flow time `[B]` in [0, 1].

    Source: Lipman et al., arXiv 2210.02747, and Liu et al., arXiv 2209.03003: the linear path.
    """
    weight = t.to(x0.dtype).reshape(-1, *[1] * (x0.dim() - 1))
    return torch.lerp(x0, noise, weight)


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """What an expert learns to predict: `v = d x_t / dt = noise - x0`.

    Source: as `interpolate`.
    """
    return noise - x0


def flow_loss(model_output: Tensor, x0: Tensor, noise: Tensor, per_row: bool = False) -> Tensor:
    """Mean squared error of a predicted velocity.

    Args:
        model_output: Predicted velocity `[B, ...]`.
        x0: Data `[B, ...]`.
        noise: The noise that `x_t` was made with `[B, ...]`.
        per_row: Return `[B]`, the mean over each row, instead of the mean over everything.

    Returns:
        float32, `[]` or `[B]`.

    Source: `E ||v_theta(x_t, t) - (noise - x0)||^2`, as `interpolate`.
    """
    squared = (model_output.float() - velocity(x0, noise).float()).square()
    return squared.flatten(1).mean(1) if per_row else squared.mean()
