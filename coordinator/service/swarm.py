"""The coordinator in the DHT: reads what volunteers publish, publishes what `tick` decided."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import cast

from paris.coordinator.decisions.observations import (
    AnswerReceived,
    AuditReceived,
    HeartbeatReceived,
    Observation,
    SubmissionReceived,
    WantReceived,
)
from paris.coordinator.service.publisher import Publisher, records_to_publish
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State
from paris.protocol.clock import Clock
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError
from paris.protocol.invites import open_shown
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import Invite, RunSpec
from paris.protocol.work_records import Answer, Audit, Heartbeat, Submission, Want

logger = logging.getLogger(__name__)
_HEALTH_EVERY_S = 30.0


class SupervisedPeer:
    """The coordinator's DHT peer, restarted when its daemon dies.

    Args:
        start: Starts a peer.
        log: Receives an event at each restart.
        clock: Seconds that only grow.
    """

    def __init__(self, start: Callable[[], Peer], log: Callable[[Event], None], clock: Clock = time.monotonic) -> None:
        self._start, self._clock, self._log = start, clock, log
        self._checked_at = clock()
        self.current = start()

    def restart_if_dead(self) -> bool:
        """Check the daemon every 30 seconds: with it dead, hivemind still answers from memory.

        Returns:
            Whether the peer was restarted.

        Raises:
            PortTakenError: Its port is in use; the next check tries again.
        """
        now = self._clock()
        if now - self._checked_at < _HEALTH_EVERY_S:
            return False
        self._checked_at = now
        if self.current.healthy():
            return False
        self._log(Event(EventKind.PROBLEM, "The DHT peer does not answer; it is restarted."))
        self.current.stop()
        self.current = self._start()
        return True

    def stop(self) -> None:
        """Stop the present peer."""
        self.current.stop()


class Swarm:
    """The run's records in the DHT.

    Args:
        spec: The run's description, as published.
        manifests: The shard lists, as published.
        peer: The DHT peer.
        publisher: Decides which records are due.
    """

    def __init__(self, spec: RunSpec, manifests: list[Manifest], peer: SupervisedPeer, publisher: Publisher) -> None:
        self._spec, self._manifests = spec, manifests
        self._peer, self._publisher = peer, publisher

    def keep_peer_alive(self) -> None:
        """Restart a dead peer, and store every record again.

        Raises:
            PortTakenError: As `SupervisedPeer.restart_if_dead`.
        """
        if self._peer.restart_if_dead():
            self._publisher.republish_all()

    def republish_all(self) -> None:
        """Store every record again at the next `publish`."""
        self._publisher.republish_all()

    def observations(self) -> Iterator[Observation]:
        """What volunteers have published; records seen before are among it."""
        peer, buckets = self._peer.current, self._spec.num_buckets
        for envelope in peer.read_all("want", buckets):
            want = cast(Envelope[Want], envelope)
            yield WantReceived(want, time.time() - envelope.issued_at, _invite_of(want))
        for envelope in peer.read_all("heartbeat", buckets):
            yield HeartbeatReceived(cast(Envelope[Heartbeat], envelope))
        for envelope in peer.read_all("submission", buckets):
            yield SubmissionReceived(cast(Envelope[Submission], envelope))
        for envelope in peer.read_all("answer", buckets):
            yield AnswerReceived(cast(Envelope[Answer], envelope))

    def audits(self) -> Iterator[Observation]:
        """What auditors have returned; to be read while audits are out."""
        for envelope in self._peer.current.read_all("audit", self._spec.num_buckets):
            yield AuditReceived(cast(Envelope[Audit], envelope))

    def publish(self, state: State) -> None:
        """Store the records that are due; one that could not be stored is due again at the next call."""
        records = records_to_publish(self._spec, self._manifests if state.tasks else [], state, time.time())
        envelopes = self._publisher.due(records)
        stored = self._peer.current.publish_many(envelopes, self._spec.num_buckets)
        failed = [envelope for envelope, is_stored in zip(envelopes, stored, strict=True) if not is_stored]
        if failed:
            logger.debug("%d of %d records could not be stored.", len(failed), len(envelopes))
        self._publisher.republish(failed)


def _invite_of(want: Envelope[Want]) -> Invite | None:
    """The invite in a want; None if it has none, or if it has ended since the peer read it."""
    with contextlib.suppress(ParisError):
        return open_shown(want, coordinator=None, now=time.time())
    return None
