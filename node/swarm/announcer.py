"""Keeps this node's records alive in the DHT: want, heartbeat, submission, answer, holding.

One record of each kind is published when it changes and again every period, always with a greater sequence and a
later expiry: peers drop records that expire, and refuse one that would shorten a life. Those that need a lease carry
the newest. What peers of an earlier version refuse is published in the form that they know.

Periods run on the monotonic clock; after a jump of the wall clock, which stands in the records, all are published at
once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from paris.node.swarm.earlier_forms import earlier_form
from paris.node.swarm.held_leases import HeldLeases
from paris.node.swarm.ways.ways import Ways
from paris.protocol.clock import Clock, ClockWatch
from paris.protocol.outcome import Outcome
from paris.protocol.payload import Payload
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.sealer import Sealer

_logger = logging.getLogger(__name__)
_MIN_LIFE_S = 60.0
_WATCH_EVERY_S = 5.0
_LIVES = 4
"""A record outlives so many periods, so that one lost message never looks like death."""


@dataclass
class _Published:
    payload: Payload
    next_at: float
    """By the announcer's clock."""


class Announcer:
    """A thread that republishes this node's records.

    Args:
        ways: Carry the records.
        sealer: Signs them.
        every_s: Period of every record, the run's heartbeat_every_s; shorter for kinds with a short life.
        on_jump: Called from the thread with the seconds by which the wall clock jumped.
        clock: Seconds that only grow.
        watch: Notices jumps of the wall clock.
    """

    def __init__(
        self,
        ways: Ways,
        sealer: Sealer,
        every_s: float,
        on_jump: Callable[[float], None] = lambda jump_s: None,
        clock: Clock = time.monotonic,
        watch: ClockWatch | None = None,
    ) -> None:
        self.ways, self._sealer = ways, sealer
        self.leases = HeldLeases(ways, sealer.public_key)
        """Of this node, as they were sealed."""
        self._every_s, self._clock = every_s, clock
        self._on_jump, self._watch = on_jump, watch or ClockWatch()
        self._published: dict[str, _Published] = {}
        """By kind."""
        self._changed = threading.Condition()
        self._is_stopped = False
        self.last_accepted_at: float | None = None
        """When a peer last stored one of the records, UTC seconds."""
        self._accepted_at: float | None = None
        """The same by the announcer's clock."""
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def publish(self, payload: Payload, *, now: bool = True) -> None:
        """Publish a record from the thread, in place of the one of the same kind.

        Args:
            payload: Want, Heartbeat, Submission, Answer or Holding.
            now: False publishes it at the kind's next period, for a change that can wait.
        """
        kind = _kind(payload)
        with self._changed:
            known = self._published.get(kind)
            due = self._clock() if now or known is None else known.next_at
            self._published[kind] = _Published(payload, due)
            self._changed.notify_all()

    def publish_and_wait(self, payload: Payload) -> bool:
        """Publish a record in the calling thread, then every period from the thread.

        Returns:
            Whether a peer stored it.
        """
        is_stored = self._send(payload)
        with self._changed:
            self._published[_kind(payload)] = _Published(payload, self._clock() + self._period_s(payload))
            self._changed.notify_all()
        return is_stored

    def publish_once(self, payload: Payload, *, for_long: bool = False) -> bool:
        """Publish a record in the calling thread and withdraw its kind.

        Args:
            payload: As for `publish`.
            for_long: With the longest life that its kind allows: this node ends, and others have yet to read it.

        Returns:
            Whether a peer stored it.
        """
        self.withdraw(_kind(payload))
        return self._send(payload, RECORD_RULES[_kind(payload)].max_life_s if for_long else None)

    def withdraw(self, kind: str) -> None:
        """Stop republishing records of this kind; existing ones expire."""
        with self._changed:
            self._published.pop(kind, None)

    @property
    def since_accepted_s(self) -> float | None:
        """Seconds since a peer last stored one of the records."""
        return None if self._accepted_at is None else self._clock() - self._accepted_at

    def _run(self) -> None:
        while (payload := self._next()) is not None:
            self._send(payload)

    def _next(self) -> Payload | None:
        """Wait for the next record that is due; None after `stop`."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                self._notice_jump(now)
                due = min(self._published.values(), key=lambda record: record.next_at, default=None)
                if due is not None and due.next_at <= now:
                    due.next_at = now + self._period_s(due.payload)
                    return due.payload
                self._changed.wait(_WATCH_EVERY_S if due is None else min(_WATCH_EVERY_S, due.next_at - now))
            return None

    def _notice_jump(self, now: float) -> None:
        """After a jump peers refuse or have dropped what was published before it: all of it is due."""
        jump_s = self._watch.jump_s()
        if jump_s != 0:
            _logger.info("The wall clock jumped by %.1f s.", jump_s)
            for record in self._published.values():
                record.next_at = now
            self._on_jump(jump_s)

    def _period_s(self, payload: Payload) -> float:
        return min(self._every_s, RECORD_RULES[_kind(payload)].max_life_s / _LIVES)

    def _send(self, payload: Payload, life_s: float | None = None) -> bool:
        kind = _kind(payload)
        if life_s is None:
            life_s = min(max(_MIN_LIFE_S, _LIVES * self._every_s), RECORD_RULES[kind].max_life_s)
        admitted = self.leases.attached(payload)
        if admitted is None:
            _logger.info("No peer shows the lease of this %s; it is published later.", kind)
            return False
        outcome = self.ways.publish(self._sealer.seal(admitted, life_s))
        earlier = earlier_form(admitted) if outcome is Outcome.REFUSED else None
        if earlier is not None:
            outcome = self.ways.publish(self._sealer.seal(earlier, life_s))
        is_stored = bool(outcome)
        if is_stored:
            self.last_accepted_at, self._accepted_at = time.time(), self._clock()
        _logger.debug("Published %s: %s.", kind, "stored" if is_stored else "no peer stored it")
        return is_stored


def _kind(payload: Payload) -> str:
    return str(getattr(payload, "kind"))  # noqa: B009 - each record class has it, their base has not
