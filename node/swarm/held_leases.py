"""The leases of this node as the coordinator sealed them, for the records that carry one (`protocol.admission`)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from paris.experts.files import write_whole
from paris.protocol.admission import LEASE_GRACE_S, Admitted
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.payload import Payload
from paris.protocol.work_records import Lease

_logger = logging.getLogger(__name__)


class LeaseReader(Protocol):
    """Where leases are read: `ways.Ways`."""

    def read(self, kind: str) -> Iterable[Envelope[Any]]:
        """Verified records of a kind."""


class HeldLeases:
    """Adds the newest known lease to records. Reads them only where it knows none, or one that has ended.

    Args:
        reader: Where leases are read.
        me: Public key of this node.
        clock: UTC seconds.
    """

    def __init__(self, reader: LeaseReader, me: str, clock: Clock = time.time) -> None:
        self._reader, self._me, self._clock = reader, me, clock
        self._lock = threading.Lock()
        self._known: dict[str, Envelope[Any]] = {}
        """By lease id."""
        self._kept: dict[str, tuple[Lease, Path]] = {}
        """Leases of units as they were granted, and the file that keeps each as it was sealed; by lease id."""

    def keep(self, lease: Lease, path: Path, run_id: str) -> None:
        """Keep a lease as it was sealed in a file: the coordinator does not publish it for ever.

        Args:
            lease: As it was granted.
            path: Written when the lease is read; one that is there from an earlier start is known at once.
            run_id: The run.
        """
        with self._lock:
            self._kept[lease.lease_id] = lease, path
            try:
                found: Any = open_envelope(path.read_bytes(), run_id=run_id, coordinator=None, now=None)
                self._learn(found)
            except FileNotFoundError:
                self._read()
            except (ParisError, OSError) as error:
                _logger.warning("%s cannot be read and is replaced: %s", path, error)
                self._read()

    def is_over(self, lease_id: str) -> bool:
        """Whether peers take no record under a kept lease any more, so that no verdict can come of it."""
        granted, known = self._kept.get(lease_id), self._known.get(lease_id)
        ends = [lease.expires_at for lease in (granted and granted[0], known and known.payload) if lease]
        return bool(ends) and self._clock() > max(ends) + LEASE_GRACE_S

    def attached(self, payload: Payload) -> Payload | None:
        """The record with its lease; unchanged if its kind needs none; None while the lease cannot be read."""
        if not isinstance(payload, Admitted):
            return payload
        with self._lock:
            known = self._known.get(payload.lease_id)
            if known is None or known.payload.expires_at <= self._clock():
                self._read()
                known = self._known.get(payload.lease_id)
        return None if known is None else payload.model_copy(update={"lease": known.data.decode()})

    def _read(self) -> None:
        for envelope in self._reader.read("lease"):
            if self._learn(envelope) and envelope.payload.lease_id in self._kept:
                self._save(envelope)

    def _learn(self, envelope: Envelope[Any]) -> bool:
        """Whether it is a lease of this node, newer than the known one."""
        lease = envelope.payload
        if not isinstance(lease, Lease) or lease.volunteer != self._me:
            return False
        known = self._known.get(lease.lease_id)
        if known is not None and envelope.sequence <= known.sequence:
            return False
        self._known[lease.lease_id] = envelope
        return True

    def _save(self, envelope: Envelope[Any]) -> None:
        path = self._kept[envelope.payload.lease_id][1]
        try:
            write_whole(path, envelope.data)
        except OSError as error:  # a full disk must not end the heartbeats
            _logger.warning("%s cannot be written: %s", path, error)
