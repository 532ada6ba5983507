"""What the organiser orders beside the running service: commands write orders, the next tick carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OrderKind(StrEnum):
    """What is ordered. The values are stored."""

    BAN = "ban"
    UNBAN = "unban"
    ALLOW = "allow"
    DISALLOW = "disallow"
    REVOKE = "revoke"
    UNREGISTER = "unregister"
    REREGISTER = "reregister"
    ROLL_BACK = "roll-back"
    ROLL_FORWARD = "roll-forward"
    RECHECK = "recheck"
    WITHDRAW_INVITE = "withdraw-invite"
    RESTORE_INVITE = "restore-invite"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    RELEASE = "release"


WHOLE_RUN = "run"
"""The subject of orders that concern no volunteer and no task."""


@dataclass(frozen=True)
class Order:
    """One order."""

    kind: OrderKind
    subject: str
    """A volunteer's public key, a task id, an invite's id, or WHOLE_RUN."""
    reason: str = ""
    """For the event log, the volunteer and the verdict."""
    step: int | None = None
    """Of the verified state to roll back to; 0: the start."""
