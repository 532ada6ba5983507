"""The way through the run's DHT, which every run has."""

from __future__ import annotations

from typing import Any

from paris.node.swarm.connection import Swarm
from paris.protocol.envelope import Envelope
from paris.protocol.outcome import Outcome


class DhtWay:
    """Records in the DHT.

    Args:
        swarm: The connection.
    """

    name = "DHT"

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm

    @property
    def is_up(self) -> bool:
        """Whether the DHT is reachable, by the last records published."""
        return self._swarm.is_up

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """See `Way.publish`; it carries every kind."""
        return self._swarm.publish(envelope)

    def read(self, kind: str) -> list[Envelope[Any]] | None:
        """See `Way.read`."""
        found = self._swarm.read(kind)
        return found if found or self._swarm.is_up else None
