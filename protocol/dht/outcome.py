"""What became of a published record."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """True in a condition where peers hold the record."""

    STORED = "stored"
    FULL = "full"
    """Peers answered, and have no room for it under its key."""
    REFUSED = "refused"
    """Peers answered and did not store it: they know a newer one or find it invalid."""
    UNANSWERED = "unanswered"
    """No peer answered, or this peer's own judge refuses the record, so that it was not sent."""

    def __bool__(self) -> bool:
        return self is Outcome.STORED
