"""The way through the run's DHT, which every run has."""

from __future__ import annotations

import time
from typing import Any

from paris.node.swarm.connection import Swarm
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.keys import OWN, OWN_KINDS
from paris.protocol.outcome import Outcome

_READ_AGAIN_S = 1.0
"""What is under this node's key is read once for several kinds."""
_ASK_AGAIN_S = 300.0


class DhtWay:
    """Records in the DHT: of the coordinator's only those under this node's key, where the run has such keys.

    Args:
        swarm: The connection.
        me: Public key of this node.
        clock: Seconds that only grow.
    """

    name = "DHT"
    look_s = 5.0
    place = None

    def __init__(self, swarm: Swarm, me: str, clock: Clock = time.monotonic) -> None:
        self._swarm, self._me, self._clock = swarm, me, clock
        self._has_own_until = float("-inf")
        """Until when it is known that the coordinator uses volunteers' keys."""
        self._own: list[Envelope[Any]] = []
        self._read_at = float("-inf")

    @property
    def is_up(self) -> bool:
        """Whether the DHT is reachable, by the last records published."""
        return self._swarm.is_up

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """See `Way.publish`; it carries every kind."""
        return self._swarm.publish(envelope)

    def read(self, kind: str) -> list[Envelope[Any]] | None:
        """See `Way.read`."""
        if kind in OWN_KINDS and self._has_own():
            found = [envelope for envelope in self._read_own() if envelope.kind == kind]
        else:
            found = self._swarm.read(kind)
        if kind == "summary" and found:
            self._has_own_until = self._clock() + _ASK_AGAIN_S
        return found if found or self._swarm.is_up else None

    def _has_own(self) -> bool:
        """Whether the run has keys of volunteers: a coordinator that publishes a summary uses them."""
        return self._clock() < self._has_own_until or bool(self.read("summary"))

    def _read_own(self) -> list[Envelope[Any]]:
        if self._clock() - self._read_at >= _READ_AGAIN_S:
            self._own, self._read_at = self._swarm.read(OWN, self._me), self._clock()
        return self._own
