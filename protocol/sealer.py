"""Seals one identity's records with increasing sequences."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from paris.protocol.envelope import Envelope, seal
from paris.protocol.records import Payload
from paris.protocol.signing import Identity

P = TypeVar("P", bound=Payload)


class Sealer:
    """Seals records of one identity in one run. Thread-safe.

    Args:
        identity: The signer.
        run_id: The run.
        clock: UTC seconds.
    """

    def __init__(self, identity: Identity, run_id: str, clock: Callable[[], float] = time.time) -> None:
        self._identity, self._run_id, self._clock = identity, run_id, clock
        self._lock = threading.Lock()
        self._sequence = 0

    @property
    def public_key(self) -> str:
        """The signer, 64 hex digits."""
        return self._identity.public_key

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
            # Milliseconds since 1970: a restarted process continues above its earlier sequences.
            self._sequence = sequence = max(self._sequence + 1, int(now * 1000))
        return seal(
            payload,
            self._identity,
            run_id=self._run_id,
            sequence=sequence,
            issued_at=now,
            expires_at=now + life_s,
        )
