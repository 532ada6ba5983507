"""The leases of this node as the coordinator sealed them, for the records that carry one (`protocol.admission`)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from paris.protocol.admission import Admitted
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.records import Payload


class LeaseReader(Protocol):
    """Where leases are read: `connection.Swarm`."""

    def read(self, kind: str, part: int | None = None) -> Iterable[Envelope[Any]]:
        """Verified records of a kind."""


class HeldLeases:
    """Adds the newest known lease to records. Reads the DHT only where it knows none, or one that has ended.

    Args:
        swarm: Where leases are read.
        me: Public key of this node.
        clock: UTC seconds.
    """

    def __init__(self, swarm: LeaseReader, me: str, clock: Clock = time.time) -> None:
        self._swarm, self._me, self._clock = swarm, me, clock
        self._known: dict[str, Envelope[Any]] = {}
        """By lease id."""

    def attached(self, payload: Payload) -> Payload | None:
        """The record with its lease; unchanged if its kind needs none; None while the lease cannot be read."""
        if not isinstance(payload, Admitted):
            return payload
        known = self._known.get(payload.lease_id)
        if known is None or known.payload.expires_at <= self._clock():
            self._read()
            known = self._known.get(payload.lease_id)
        return None if known is None else payload.model_copy(update={"lease": known.data.decode()})

    def _read(self) -> None:
        for envelope in self._swarm.read("lease"):
            lease = envelope.payload
            if lease.volunteer != self._me:
                continue
            known = self._known.get(lease.lease_id)
            if known is None or envelope.sequence > known.sequence:
                self._known[lease.lease_id] = envelope
