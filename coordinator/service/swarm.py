"""The way through the DHT: reads what volunteers publish, publishes what `tick` decided."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf

from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.ways import Shown
from paris.coordinator.state.events import Event, EventKind
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.payload import Payload
from paris.protocol.run_peer import RunPeer
from paris.protocol.run_records import RunSpec

logger = logging.getLogger(__name__)
_HEALTH_EVERY_S = 30.0


class SupervisedPeer:
    """The coordinator's DHT peer, restarted when its daemon dies.

    Args:
        start: Starts a peer.
        log: Receives an event at each restart.
        clock: Seconds that only grow.
    """

    def __init__(
        self, start: Callable[[], RunPeer], log: Callable[[Event], None], clock: Clock = time.monotonic
    ) -> None:
        self._start, self._clock, self._log = start, clock, log
        self._checked_at = clock()
        self._on_start: list[Callable[[RunPeer], None]] = []
        self._is_introduced = True
        """Whether all of them know the present peer."""
        self.current = start()

    def on_start(self, callback: Callable[[RunPeer], None]) -> None:
        """Call `callback` with the present peer, and with each that replaces it."""
        self._on_start.append(callback)
        callback(self.current)

    def restart_if_dead(self) -> bool:
        """Check the daemon every 30 seconds: with it dead, hivemind still answers from memory.

        Returns:
            Whether the peer was restarted.

        Raises:
            PortTakenError: Its port is in use; the next check tries again.
            Exception: That of a callback of `on_start`; the next check starts another peer.
        """
        now = self._clock()
        if now - self._checked_at < _HEALTH_EVERY_S:
            return False
        self._checked_at = now
        if self._is_introduced and self.current.healthy():
            return False
        self._log(Event(EventKind.PROBLEM, "The DHT peer does not answer; it is restarted."))
        self.current.stop()
        self._is_introduced = False
        self.current = self._start()
        for callback in self._on_start:
            callback(self.current)
        self._is_introduced = True
        return True

    def stop(self) -> None:
        """Stop the present peer."""
        self.current.stop()


class DhtWay:
    """The run's records in the DHT.

    Volunteers store their records at this peer too, which their RunSpec names. So most steps read what came here; all
    peers are asked once in a heartbeat's period, for what could not be stored here.

    Args:
        spec: The run's description, as published.
        peer: The DHT peer.
        publisher: Decides which records are due.
        clock: Seconds that only grow.
    """

    delay_s = 0.0
    """See `Way.delay_s`."""

    def __init__(
        self, spec: RunSpec, peer: SupervisedPeer, publisher: Publisher, clock: Clock = time.monotonic
    ) -> None:
        self._num_buckets, self._all_every_s = spec.num_buckets, spec.heartbeat_every_s
        self._peer, self._publisher, self._clock = peer, publisher, clock
        self._all_read_at: dict[str, float] = {}
        """When all peers were asked last, by kind."""
        self._not_taken_in: set[str] = set()
        """Kinds that were read since the last `show`."""

    def keep_alive(self) -> None:
        """Restart a dead peer, and store every record again.

        Raises:
            PortTakenError: As `SupervisedPeer.restart_if_dead`.
        """
        if self._peer.restart_if_dead():
            self._all_read_at.clear()
            self._publisher.republish_all()

    def show_all_again(self) -> None:
        """Store every record again at the next `show`."""
        self._publisher.republish_all()

    def received(self, kinds: Sequence[str]) -> Iterator[Envelope[Payload]]:
        """What volunteers have published; records seen before are among it, all of them once in a while."""
        for kind in kinds:
            yield from self._read(kind)

    def _read(self, kind: str) -> list[Envelope[Payload]]:
        """What came to this peer since the last call, or all that there is: also after a step that was not saved."""
        peer, now = self._peer.current, self._clock()
        is_due = now - self._all_read_at.get(kind, -inf) >= self._all_every_s
        asks_all = is_due or kind in self._not_taken_in
        self._not_taken_in.add(kind)
        if asks_all:
            self._all_read_at[kind] = now
            return peer.read_all(kind, self._num_buckets)
        found = peer.read_fresh([(kind, bucket) for bucket in range(self._num_buckets)])
        return [envelope for envelopes in found.values() for envelope in envelopes]

    def show(self, shown: Shown) -> None:
        """Store the records that are due; one that could not be stored is due again at the next call."""
        self._not_taken_in.clear()
        envelopes = self._publisher.due(shown.records)
        stored = self._peer.current.publish_many(envelopes, self._num_buckets)
        failed = [envelope for envelope, is_stored in zip(envelopes, stored, strict=True) if not is_stored]
        if failed:
            logger.debug("%d of %d records could not be stored.", len(failed), len(envelopes))
        self._publisher.republish(failed)
