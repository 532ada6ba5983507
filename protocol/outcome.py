"""What became of a published record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from paris.protocol.limits import MAX_DICTIONARY_BYTES


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


def outcome_of(subkey: str, value: bytes, held: Sequence[Mapping[str, bytes]]) -> Outcome:
    """What became of a record that not every deciding peer stored.

    Args:
        subkey: Of the record.
        value: As it was sent.
        held: What each of these peers holds under the key: values by subkey.
    """
    if any(records.get(subkey) == value for records in held):
        return Outcome.STORED
    num_bytes = max((sum(len(name) + len(item) for name, item in records.items()) for records in held), default=0)
    is_new = all(subkey not in records for records in held)
    is_full = is_new and num_bytes + len(subkey) + len(value) > MAX_DICTIONARY_BYTES
    return Outcome.FULL if is_full else Outcome.REFUSED
