"""The exponential moving average of the weights: what is submitted and sampled from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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

    On a CUDA or ROCm device it is updated beside what the device does next: whoever changes the weights, or reads the
    average, calls `wait` first.

    Args:
        weights: What is averaged; the average starts as a copy.
        decay: The decay it grows to, in [0, 1).
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._decay = decay
        self._average = {name: weight.detach().clone() for name, weight in weights.items()}
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        device = next(iter(weights.values())).device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def average(self) -> dict[str, Tensor]:
        """The average under the weights' names; the live tensors, not copies."""
        self.wait()
        return self._average

    @torch.no_grad()
    def update(self, step: int, names: Iterable[str] | None = None) -> None:
        """Move the average towards the weights as they are now.

        Args:
            step: Number of the update, from 0.
            names: Which; None: all.

        Source: `average <- d average + (1 - d) weights`.
        """
        chosen = list(self._average if names is None else names)
        pairs = [self._average[name] for name in chosen], [self._weights[name] for name in chosen]
        if self._stream is None:
            torch._foreach_lerp_(*pairs, 1.0 - ema_decay_at(step, self._decay))
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            torch._foreach_lerp_(*pairs, 1.0 - ema_decay_at(step, self._decay))

    def wait(self) -> None:
        """Let what the device is told from now on come after the last update; the CPU does not wait."""
        if self._stream is not None:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
