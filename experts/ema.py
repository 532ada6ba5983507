"""The exponential moving average of the weights: what is submitted and sampled from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def ema_decay_at(step: int, decay: float) -> float:
    """How much of the average is kept at one update: less at the start, so that it forgets the first weights.

    Args:
        step: Number of the update, from 0.
        decay: The decay it grows to, in [0, 1).

    Source: `min(decay, (1 + step) / (10 + step))`, the `num_updates` rule of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """A running average of named tensors, updated in place.

    Args:
        weights: What is averaged; the average starts as a copy.
        decay: The decay it grows to, in [0, 1).
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._decay = decay
        self.average = {name: weight.detach().clone() for name, weight in weights.items()}
        self._averages = list(self.average.values())
        self._weights = [weight.detach() for weight in weights.values()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights as they are now.

        Args:
            step: Number of the update, from 0.

        Source: `average <- d average + (1 - d) weights`.
        """
        torch._foreach_lerp_(self._averages, self._weights, 1.0 - ema_decay_at(step, self._decay))
