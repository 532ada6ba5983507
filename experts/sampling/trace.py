"""Which expert drew which picture, when, and how much it counted.

trace = TraceRecorder(); sample(..., on_step=trace); trace.trace().summary()

JSON: {"experts": [0, 1], "times": [1.0, ...], "weights": [[[0.7, 0.3], ...one a picture], ...one a step]}

Shapes: S evaluations, B pictures, K experts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.sampling.sampler import Step


class TraceSummary(NamedTuple):
    """A trace in a few figures."""

    share: tuple[float, ...]
    """Mean weight of each expert, over steps and pictures."""
    experts_per_picture: float
    """Mean number of experts that run for a picture at a step."""
    best_weight: float
    """Mean weight of the heaviest expert."""
    switches: float
    """Mean number of times that a picture's heaviest expert changes on the way."""


@dataclass(frozen=True)
class RoutingTrace:
    """Weights of the experts along a sampling run."""

    experts: tuple[int, ...]
    """Numbers of the experts, one a column."""
    times: tuple[float, ...]
    """Flow time at which each step began."""
    weights: Tensor
    """float32 `[S, B, K]` on the CPU; zero for experts that did not run."""

    def __post_init__(self) -> None:
        wanted = (len(self.times), len(self.experts))
        if self.weights.dim() != 3 or (self.weights.shape[0], self.weights.shape[2]) != wanted:
            raise SamplingError(
                f"Weights {list(self.weights.shape)} are no trace of {wanted[0]} steps and {wanted[1]} experts."
            )

    def summary(self) -> TraceSummary:
        """A trace in a few figures."""
        best = self.weights.argmax(dim=2)
        return TraceSummary(
            tuple(self.weights.mean(dim=(0, 1)).tolist()),
            (self.weights > 0).sum(dim=2).float().mean().item(),
            self.weights.amax(dim=2).mean().item(),
            (best[1:] != best[:-1]).sum(dim=0).float().mean().item(),
        )

    def to_json(self) -> str:
        """The trace as text, weights to six digits."""
        weights = [[[round(weight, 6) for weight in row] for row in step] for step in self.weights.tolist()]
        return json.dumps({"experts": list(self.experts), "times": list(self.times), "weights": weights})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            SamplingError: The text is not a trace.
        """
        try:
            fields = json.loads(text)
            weights = torch.tensor(fields["weights"], dtype=torch.float32)
            return cls(tuple(map(int, fields["experts"])), tuple(map(float, fields["times"])), weights)
        except (ValueError, TypeError, KeyError) as error:
            raise SamplingError(f"The text is not a routing trace: {error}") from error


class TraceRecorder:
    """Collects a trace: give it to `sample` as `on_step`, or call `add` after each evaluation of a field.

    Args:
        experts: Numbers of the experts, `VelocityField.numbers`; None: from 0 on.
    """

    def __init__(self, experts: Sequence[int] | None = None) -> None:
        self._experts = experts
        self._times: list[float] = []
        self._weights: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        """Note a step of `sample`."""
        self.add(step.t_start, step.weights)

    def add(self, t: float, weights: Tensor) -> None:
        """Note the weights `[B, K]` at flow time t. They stay where they are: no wait for a GPU."""
        self._times.append(t)
        self._weights.append(weights.detach())

    def trace(self) -> RoutingTrace:
        """What was noted so far.

        Raises:
            SamplingError: Nothing was.
        """
        if not self._weights:
            raise SamplingError("No step was taken, there is nothing to trace.")
        weights = torch.stack(self._weights).float().cpu()
        experts = range(weights.shape[2]) if self._experts is None else self._experts
        return RoutingTrace(tuple(experts), tuple(self._times), weights)
