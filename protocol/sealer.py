"""Seals one identity's records with increasing sequences."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from paris.protocol.envelope import Envelope, seal
from paris.protocol.payload import Payload
from paris.protocol.private_files import replace_private
from paris.protocol.signing import Signer

logger = logging.getLogger(__name__)
P = TypeVar("P", bound=Payload)
_RESERVE_MS, _RESERVE_COUNTED = 600_000, 20_000
_MAX_SEQUENCE = 2**53 - 1


class SequenceFile:
    """The sequence below which a signer's records may already exist, kept over restarts.

    Sequences follow the wall clock; without the file, a restart after the clock was set back would seal records that
    every peer refuses as older ones. It is written ahead, once in ten minutes. A file that cannot be read or written
    is a warning.

    Args:
        path: A file of decimal digits.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reserved = 0
        if not path.exists():
            return
        try:
            self.reserved = min(int(path.read_text("ascii")), _MAX_SEQUENCE // 2)
        except ValueError as error:
            logger.warning("%s holds no number and is replaced: %s.", path, error)
        except OSError as error:
            logger.warning("%s cannot be read: %s.", path, error.strerror)

    def reserve(self, sequence: int) -> None:
        """Make sure that a restart continues above this sequence."""
        if sequence < self.reserved:
            return
        self.reserved = reserved_above(sequence, self.reserved)
        try:
            replace_private(self._path, f"{self.reserved}\n".encode())
        except OSError as error:
            logger.warning("%s cannot be written: %s.", self._path, error.strerror)


def reserved_above(sequence: int, reserved: int) -> int:
    """How far to reserve once a sequence reaches what was reserved.

    One that follows the clock reserves ten minutes. One that was counted up from what was reserved, after a restart or
    while the clock is behind, reserves a number of records: many restarts lead no further ahead of the clock.
    """
    return sequence + (_RESERVE_COUNTED if sequence <= reserved + 1 else _RESERVE_MS)


class Sequences(Protocol):
    """What keeps a signer's sequences growing."""

    reserved: int
    """The sequence below which records may already exist."""

    def reserve(self, sequence: int) -> None:
        """Make sure that whoever seals next continues above this sequence; what it raises, `seal` raises."""


class Sealer:
    """Seals records of one identity in one run. Thread-safe.

    Args:
        identity: The signer.
        run_id: The run.
        clock: UTC seconds.
        sequences: Keeps sequences growing over restarts; None where the clock alone does.
    """

    def __init__(
        self,
        identity: Signer,
        run_id: str,
        clock: Callable[[], float] = time.time,
        sequences: Sequences | None = None,
    ) -> None:
        self._identity, self._run_id, self._clock = identity, run_id, clock
        self._sequences = sequences
        self._lock = threading.Lock()
        self._sequence = 0 if sequences is None else sequences.reserved

    @property
    def public_key(self) -> str:
        """The signer, 64 hex digits."""
        return self._identity.public_key

    def sign(self, message: bytes) -> str:
        """Sign a message that is no record; its domain prefix tells it from one."""
        return self._identity.sign(message)

    def seal(self, payload: P, life_s: float) -> Envelope[P]:
        """Sign a payload, valid from now.

        Args:
            payload: The record's content.
            life_s: Seconds until it expires.

        Raises:
            RecordError: The record is larger than its kind allows.
        """
        now = self._clock()
        with self._lock:
            # Milliseconds since 1970: two machines of one identity continue above each other's sequences.
            self._sequence = sequence = max(self._sequence + 1, int(now * 1000))
            if self._sequences is not None:
                self._sequences.reserve(sequence)
        return seal(
            payload,
            self._identity,
            run_id=self._run_id,
            sequence=sequence,
            issued_at=now,
            expires_at=now + life_s,
        )
