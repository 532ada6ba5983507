"""What this node says again and again: want, heartbeat, submission, holding.

Each record has a place; a place is said at once when its state changes, and again every `every_s`, always with a
greater sequence and a later expiry: the DHT forgets whoever goes silent, and evicts whoever shortens a life.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from paris.node.swarm.connection import Swarm
from paris.protocol.envelope import Envelope, seal
from paris.protocol.records import RECORDS, Payload
from paris.protocol.signing import Identity

_MIN_LIFE_S = 60.0
_LIVES = 4
"""A record outlives so many periods, so that one lost message never looks like death."""


@dataclass
class _Place:
    payload: Payload
    next_at: float


class Announcer:
    """A thread that keeps this node's records alive in the DHT.

    Args:
        swarm: Where to.
        identity: Who signs.
        run_id: The run.
        every_s: Period of every record; the run's heartbeat_every_s.
        clock: UTC seconds.
    """

    def __init__(
        self, swarm: Swarm, identity: Identity, run_id: str, every_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._swarm = swarm
        self._identity = identity
        self._run_id = run_id
        self._every_s = every_s
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._changed = threading.Condition()
        self._is_stopped = False
        self._last_sequence = 0
        self.last_accepted_at: float | None = None
        """When a peer last took a record of ours, UTC seconds."""
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def say(self, payload: Payload, *, at_once: bool = True) -> None:
        """Set what is said of this kind from now on.

        Args:
            payload: Want, Heartbeat, Submission or Holding.
            at_once: Whether others should hear it now, not at the next period.
        """
        kind = _kind(payload)
        with self._changed:
            known = self._places.get(kind)
            due = self._clock() if at_once or known is None else known.next_at
            self._places[kind] = _Place(payload, due)
            self._changed.notify_all()

    def say_now(self, payload: Payload) -> bool:
        """Say it in the caller's thread, and again from then on; True when it was heard."""
        is_heard = self._publish(payload)
        with self._changed:
            self._places[_kind(payload)] = _Place(payload, self._clock() + self._every_s)
            self._changed.notify_all()
        return is_heard

    def hush(self, kind: str) -> None:
        """Say no more of this kind; what was said expires by itself."""
        with self._changed:
            self._places.pop(kind, None)

    def say_last(self, payload: Payload) -> bool:
        """Say one thing now, in the caller's thread, and never again; True when it was heard."""
        self.hush(_kind(payload))
        return self._publish(payload)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while (payload := self._next()) is not None:
            self._publish(payload)

    def _next(self) -> Payload | None:
        """Wait for the next payload that is due; None at the end."""
        with self._changed:
            while not self._is_stopped:
                now = self._clock()
                due = min(self._places.values(), key=lambda place: place.next_at, default=None)
                if due is not None and due.next_at <= now:
                    due.next_at = now + self._every_s
                    return due.payload
                self._changed.wait(None if due is None else due.next_at - now)
            return None

    def _publish(self, payload: Payload) -> bool:
        is_accepted = self._swarm.publish(self._seal(payload))
        if is_accepted:
            self.last_accepted_at = self._clock()
        return is_accepted

    def _seal(self, payload: Payload) -> Envelope[Payload]:
        now = self._clock()
        with self._changed:
            # Milliseconds, so that a restarted node goes on above what it said before.
            self._last_sequence = max(self._last_sequence + 1, int(now * 1000))
            sequence = self._last_sequence
        life_s = min(max(_MIN_LIFE_S, _LIVES * self._every_s), RECORDS[_kind(payload)].max_life_s)
        return seal(
            payload, self._identity, run_id=self._run_id, sequence=sequence, issued_at=now, expires_at=now + life_s
        )


def _kind(payload: Payload) -> str:
    return str(getattr(payload, "kind"))  # noqa: B009 - each payload class has it, their base has not
