"""Chooses the way of each record: the first that answers, and has room."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from paris.node.swarm.ways.way import KEPT_THERE, Way
from paris.protocol.envelope import Envelope
from paris.protocol.outcome import Outcome

_logger = logging.getLogger(__name__)


class Ways:
    """The ways between this node and the coordinator. Safe to use from several threads.

    A way that does not answer is left out for a while by itself; so each call asks all in order.

    Args:
        ways: The preferred one first; one at least.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = tuple(ways)
        self._last = ""
        self.is_full = False
        """Whether there was no room for this node's last want."""

    @property
    def all(self) -> tuple[Way, ...]:
        """The ways in their order."""
        return self._ways

    def add(self, way: Way) -> None:
        """Add one that is asked after all others."""
        self._ways = (*self._ways, way)

    @property
    def is_up(self) -> bool:
        """Whether one of the ways answered lately."""
        return any(way.is_up for way in self._ways)

    @property
    def place(self) -> int | None:
        """Where this node stands among those that wait for a task; None: it is not known."""
        return next((way.place for way in self._ways if way.place is not None), None)

    @property
    def look_s(self) -> float:
        """Seconds between two reads that are worth it, by the way that is in use."""
        return next((way.look_s for way in self._ways if way.is_up), self._ways[-1].look_s)

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """Carry a record of this node to the coordinator. Never raises on network errors."""
        outcome = Outcome.UNANSWERED
        for way in self._ways:
            found = way.publish(envelope)
            if found is Outcome.UNANSWERED:
                continue
            outcome = found
            self._note(way)
            if outcome is not Outcome.FULL or envelope.kind not in KEPT_THERE:
                break
        if envelope.kind == "want":
            self.is_full = outcome is Outcome.FULL
        return outcome

    def read(self, kind: str) -> list[Envelope[Any]]:
        """The coordinator's verified records of a kind that concern this node; see `Way.read`."""
        for way in self._ways:
            found = way.read(kind)
            if found is not None:
                return found
        return []

    def _note(self, way: Way) -> None:
        if way.name != self._last:
            self._last = way.name
            _logger.info("Records go to the coordinator by: %s.", way.name)
