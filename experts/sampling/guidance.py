"""Classifier-free guidance: away from the velocity of the negative prompt, where that is worth its cost.

The velocity with text and the one without cost the same, so guidance doubles the work. It matters little at both ends
of the path, and its direction changes slowly: it may be confined to an interval, and a direction used again.

An expert's cluster is a condition too, often a stronger one than the prompt: an expert of one digit draws that digit
with a prompt or without. Led away from the same expert, a picture is led away from its own cluster, where there may be
nothing left to choose. Away from the ensemble, the unconditional velocity is that of all the data (McAllister et al.,
arXiv 2501.05450, equations 4 to 7),

    v(x_t) = sum_k p(k | x_t, negative) v_k(x_t, negative)

of which one expert, drawn from p(k | x_t, negative), is an unbiased estimate at the price of one. Drawing is ours. A
picture draws with the same number all the way, so that its expert changes as the posterior does, not at random.

Shapes: B rows, C channels, H and W picture.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.settings import Settings


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError(f"the interval {interval} ends before it begins")
    return interval


_UnitTime = Annotated[float, Field(ge=0, le=1)]


class Guidance(Settings):
    """How far, when, and away from what a picture is led."""

    scale: Annotated[float, Field(ge=0, le=100)] = 1.0
    """`v = v_negative + scale (v_text - v_negative)`; 1 is no guidance."""
    interval: Annotated[tuple[_UnitTime, _UnitTime], AfterValidator(_in_order)] = (0.0, 1.0)
    """Flow times `(low, high)`, both included, between which guidance applies; outside, the text alone leads.

    Source: Kynkaanniemi et al., arXiv 2404.07724."""
    every: Annotated[int, Field(ge=1, le=1000)] = 1
    """The negative velocity is computed at every n-th evaluation in the interval; in between, the last difference
    `v_text - v_negative` is used again."""

    away_from: Literal["expert", "ensemble"] = "expert"
    """Whose negative velocity: that of the experts that make the picture, or that of all experts together."""

    @property
    def is_on(self) -> bool:
        """Whether there is guidance at all."""
        return self.scale != 1.0

    @property
    def is_away_from_ensemble(self) -> bool:
        """Whether the negative velocity is that of an expert drawn for each row."""
        return self.is_on and self.away_from == "ensemble"

    def check_without_text(self) -> None:
        """Raise SamplingError unless it changes the pictures of a model without text.

        There an expert has one velocity, with a prompt and without. Away from the ensemble, a picture is led towards
        its own cluster.
        """
        if self.is_on and not self.is_away_from_ensemble:
            raise SamplingError(
                f"guidance_scale is {self.scale}, but this model reads no text that could guide it.",
                'Set guidance_scale to 1; or guidance_away_from to "ensemble", which leads towards a cluster.',
            )


class GuidanceRun:
    """Guidance over one sampling run: when the negative velocity is due, and the last direction."""

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self.scale = guidance.scale
        """In place of the guidance's own, from now on."""
        self._direction: Tensor | None = None
        self._age = 0

    def needs_negative(self, t: float) -> bool:
        """Whether the next `combine`, at flow time t, needs the negative velocity. Ask once an evaluation."""
        low, high = self._guidance.interval
        if not (self.scale != 1.0 and low <= t <= high):
            self._direction = None
            return False
        if self._direction is not None and self._age < self._guidance.every:
            return False
        self._direction, self._age = None, 0
        return True

    def combine(self, with_text: Tensor, negative: Tensor | None) -> Tensor:
        """The guided velocity `[B, C, H, W]` of the two; `negative` is None where `needs_negative` was False.

        Source: Ho and Salimans, arXiv 2207.12598, equation 6.
        """
        self._age += 1
        if negative is not None:
            if self._guidance.every > 1:
                self._direction = with_text - negative
            return torch.lerp(negative, with_text, self.scale)
        if self._direction is None:
            return with_text
        return torch.add(with_text, self._direction, alpha=self.scale - 1.0)
