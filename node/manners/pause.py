"""A reason why the trainer pauses."""

from __future__ import annotations

from dataclasses import dataclass

from paris.protocol.work_records import PauseReason


@dataclass(frozen=True)
class Pause:
    """Why training pauses now."""

    reason: PauseReason
    """What heartbeats say."""
    text: str
    """What the volunteer reads, such as "on battery"."""
    until: float | None = None
    """UTC seconds at which it ends; None: not known."""
