"""Why a peer refuses a record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a record was refused; docs/protocol/places.md explains the codes."""

    UNKNOWN_KEY = "unknown-key"
    PLAIN_VALUE = "plain-value"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    WRONG_VERSION = "wrong-version"
    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"
    EXPIRY_MISMATCH = "expiry-mismatch"
    WRONG_KIND = "wrong-kind"
    WRONG_SUBKEY = "wrong-subkey"
    WRONG_PART = "wrong-part"
    WRONG_BUCKET = "wrong-bucket"
    STALE_SEQUENCE = "stale-sequence"
    EXPIRY_NOT_LATER = "expiry-not-later"
    NO_LEASE = "no-lease"
    FOREIGN_LEASE = "foreign-lease"
    LEASE_OVER = "lease-over"
    NO_WORK = "no-work"
    BAD_INVITE = "bad-invite"


@dataclass(frozen=True)
class Refused:
    """The record is invalid, or in the wrong place."""

    reason: Reason
    detail: str


class Refusal(Exception):
    """Raised by the checks of a record; `RecordJudge.judge` returns it as `Refused`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.refused = Refused(reason, detail)
        super().__init__(detail)
