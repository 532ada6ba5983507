"""The exponential moving average of the weights: what is submitted and sampled from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def ema_decay_at(step: int, decay: float) -> float:
    """The decay of an update, counted from 0: smaller at the start, so that the average forgets the initial weights.

    Source: `min(decay, (1 + step) / (10 + step))`, the `num_updates` rule of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """A running average of live tensors, which starts as a copy of them.

    On a CUDA or ROCm device it is updated on a stream of its own, beside the next forward pass: call `wait` before
    changing the weights.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._average = {name: weight.detach().clone() for name, weight in weights.items()}
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        device = next(iter(weights.values())).device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def average(self) -> dict[str, Tensor]:
        """Live tensors, not copies."""
        self.wait()
        return self._average

    @torch.no_grad()
    def update(self, names: Iterable[str], decay: float) -> None:
        """Move the average of some tensors: `average <- decay average + (1 - decay) weights`."""
        names = list(names)
        average, weights = ([tensors[name] for name in names] for tensors in (self._average, self._weights))
        if self._stream is None:
            torch._foreach_lerp_(average, weights, 1.0 - decay)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            torch._foreach_lerp_(average, weights, 1.0 - decay)

    def wait(self) -> None:
        """Order later work on the device after the last update; the CPU does not block."""
        if self._stream is not None:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
