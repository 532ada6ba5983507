"""The run's log, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One line of the run's log, for people."""

    kind: str
    text: str
