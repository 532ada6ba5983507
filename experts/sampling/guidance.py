"""Classifier-free guidance: away from what the negative prompt would give, and when that is worth its cost.

The velocity with text and the one without cost the same, so guidance doubles the work. It matters little at both ends
of the way, and its direction changes slowly: it may be confined to an interval, and a direction used again.

Shapes: B rows, C channels, H and W picture.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from paris.experts.settings import Settings


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError(f"the interval {interval} ends before it begins")
    return interval


_UnitTime = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[tuple[_UnitTime, _UnitTime], AfterValidator(_in_order)]
"""Two flow times, `(low, high)`."""


class Guidance(Settings):
    """How far, and when, a picture is led away from the negative prompt."""

    scale: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """`v = v_negative + scale (v_text - v_negative)`; 1 is no guidance."""
    interval: Interval = (0.0, 1.0)
    """Flow times `(low, high)`, both included, between which guidance applies; outside, the text alone leads.

    Source: Kynkaanniemi et al., arXiv 2404.07724."""
    every: Annotated[int, Field(ge=1, le=1000)] = 1
    """The negative prompt is asked at every n-th evaluation in the interval; in between, the last difference
    `v_text - v_negative` is used again."""

    away_from: Literal["expert", "ensemble"] = "expert"
    """Whose velocity, given the negative prompt, it is: that of the experts that draw the picture, or that of all
    experts together, as a model of all the data would have it: see `crowd.py`."""

    def applies_at(self, t: float) -> bool:
        """Whether the velocity at flow time t is guided."""
        return self.scale != 1.0 and self.interval[0] <= t <= self.interval[1]


def as_guidance(guidance: Guidance | float) -> Guidance:
    """Guidance, or that of this scale at all times.

    Raises:
        SettingsError: The scale is out of range.
    """
    return guidance if isinstance(guidance, Guidance) else Guidance.from_settings({"scale": guidance})


class GuidedRun:
    """Guidance over one sampling run: knows when the negative prompt is asked, and the last direction.

    Args:
        guidance: The rule.
    """

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self._away: Tensor | None = None
        self._age = 0

    def asks_negative(self, t: float) -> bool:
        """Whether the next velocity, at flow time t, needs that of the negative prompt. Ask once an evaluation."""
        if not self._guidance.applies_at(t):
            self._away = None
            return False
        if self._away is not None and self._age < self._guidance.every:
            return False
        self._away, self._age = None, 0
        return True

    def combine(self, with_text: Tensor, negative: Tensor | None) -> Tensor:
        """The guided velocity.

        Args:
            with_text: Velocity given the text `[B, C, H, W]`.
            negative: Velocity given the negative prompt `[B, C, H, W]`, where `asks_negative` said yes; else None.

        Source: Ho and Salimans, arXiv 2207.12598, equation 6.
        """
        self._age += 1
        scale = self._guidance.scale
        if negative is not None:
            if self._guidance.every > 1:
                self._away = with_text - negative
            return torch.lerp(negative, with_text, scale)
        if self._away is None:
            return with_text
        return torch.add(with_text, self._away, alpha=scale - 1.0)
