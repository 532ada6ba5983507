"""Where a sampling run takes its experts from: a list, a dictionary, or a bank that holds only some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from paris.experts.errors import SamplingError
from paris.experts.objectives.objectives import VelocityModel


class ExpertSource(Protocol):
    """Experts by number: a dictionary is one, and so is a bank that holds only some of them at a time.

    A bank may also have `prefetch(number)`, called before the present expert computes, with the number of the next;
    `resident`, the numbers of those that need no fetching: they are asked first; and `config`, that of its experts.
    """

    def keys(self) -> Iterable[int]:
        """Numbers of the experts."""

    def __getitem__(self, number: int, /) -> VelocityModel:
        """The expert, ready to compute; it stays so until another one is asked for."""


class _Listed:
    def __init__(self, experts: Sequence[VelocityModel]) -> None:
        self._experts = experts

    def keys(self) -> Iterable[int]:
        return range(len(self._experts))

    def __getitem__(self, number: int, /) -> VelocityModel:
        return self._experts[number]


def as_source(experts: ExpertSource | Sequence[VelocityModel]) -> ExpertSource:
    """Experts by number; those of a sequence are numbered from 0.

    Raises:
        SamplingError: There is none.
    """
    source: ExpertSource = _Listed(experts) if isinstance(experts, Sequence) else experts
    if not list(source.keys()):
        raise SamplingError("There is no expert to sample from.")
    return source


def resident_in(source: ExpertSource) -> set[int] | None:
    """Numbers of the experts that need no fetching; None where none ever does."""
    resident = getattr(source, "resident", None)
    return None if resident is None else set(resident)
