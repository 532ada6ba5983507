"""What a trusted training reached by which step: the reference that a submission is compared with.

A curve comes from an expert that the organiser trained (`paris-coord reference`), or from submissions whose stretches
were trained again (`audited`). Held-out losses are kept for each secret row, so that a submission is compared with them
on equal rows, times and noises.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from paris.protocol.fields import Settings

RowLosses = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]


class ScoredPoint(BaseModel):
    """The scores of one expert after some steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    step: Annotated[int, Field(ge=1)]
    """Optimizer steps done."""
    training_loss: Annotated[float, Field(allow_inf_nan=False)]
    """Smoothed, as `paris.experts.training.config.Progress.loss`."""
    heldout: dict[int, RowLosses]
    """Cluster to the losses of its secret rows, in terms of the expert's own objective."""
    shuffled: RowLosses = ()
    """Losses of the secret rows of its own cluster with the captions of other rows; empty where no caption differs."""


class ReferenceCurve(BaseModel):
    """The scores of one trusted training of a cluster's expert."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cluster: Annotated[int, Field(ge=0)]
    objective: Settings = {}
    """Empty: flow matching."""
    points: tuple[ScoredPoint, ...] = ()
    """In the order of their steps."""
    audited: bool = False
    """Of volunteers' submissions of which stretches were trained again, not of the organiser's own training."""

    @property
    def last_step(self) -> int:
        """Step of the last point; 0 without points."""
        return self.points[-1].step if self.points else 0

    def around(self, first: float, last: float) -> ReferenceCurve:
        """The part of the curve that is needed between two steps: their points, and the nearest on either side."""
        below = [point for point in self.points if point.step <= first][-1:]
        within = [point for point in self.points if first < point.step < last]
        above = [point for point in self.points if point.step >= last][:1]
        return self.model_copy(update={"points": (*below, *within, *(p for p in above if p not in below))})
