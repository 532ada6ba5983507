"""DHT connection of this node: the peer is restarted when it dies, and an unreachable DHT stops nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from paris.node.machine.config import NodeConfig
from paris.node.machine.own_addresses import is_behind_router
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, PeerError
from paris.protocol.outcome import Outcome
from paris.protocol.run_peer import RunPeer, ShardAnswer
from paris.protocol.run_records import RunSpec

_logger = logging.getLogger(__name__)
_FAILURES_BEFORE_CHECK = 3
_HEALTH_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Traffic:
    """Records and bytes of the control plane, summed over all restarts of the peer."""

    records_sent: int = 0
    bytes_sent: int = 0
    records_received: int = 0
    bytes_received: int = 0

    def plus(self, other: Any) -> Traffic:
        """Sum with another object that has the same four fields."""
        return Traffic(**{name: value + int(getattr(other, name)) for name, value in asdict(self).items()})


class Swarm:
    """DHT connection of this node; reconnects when the peer dies.

    Args:
        num_buckets: From the RunSpec.
        initial_peers: Multiaddrs to dial.
        start_peer: Starts a peer that dials these addresses; may raise NoPeersError.
        on_change: Called with False when the DHT becomes unreachable, with True when it is reachable again.
        remember: Saves a description of the run, and returns the newest.
    """

    def __init__(
        self,
        *,
        num_buckets: int,
        initial_peers: tuple[str, ...],
        start_peer: Callable[[tuple[str, ...]], RunPeer],
        on_change: Callable[[bool], None] = lambda is_up: None,
        remember: Callable[[Envelope[RunSpec]], Envelope[RunSpec]] = lambda run: run,
    ) -> None:
        self.num_buckets = num_buckets
        self.initial_peers = initial_peers
        self.given_peers: tuple[str, ...] = ()
        """Of `initial_peers`, those that RUN led to."""
        self._remember = remember
        self._run: Envelope[RunSpec] | None = None
        """The newest that was followed."""
        self._start_peer = start_peer
        self._on_change = on_change
        self._peer: RunPeer | None = None
        self._on_start: list[Callable[[RunPeer], None]] = []
        self._starting = threading.Lock()
        """Held while a peer starts, so that two threads never start two."""
        self._lock = threading.Lock()
        """Held for a moment: guards the fields below."""
        self._past = Traffic()
        self._failures = 0
        self._is_up = False
        self._is_closed = False
        self.is_full = False
        """Whether the peers had no room for this node's last want."""

    def connect(self) -> None:
        """Start the peer, unless it runs.

        Raises:
            NoPeersError: No initial peer answered; the next `publish` tries again.
            PeerError: The connection was closed.
        """
        self._running_peer()
        self._is_up = True

    def on_start(self, callback: Callable[[RunPeer], None]) -> None:
        """Call `callback` with the running peer, if any, and with each peer that replaces it."""
        self._on_start.append(callback)
        if self._peer is not None:
            callback(self._peer)

    def follow(self, run: Envelope[RunSpec]) -> None:
        """Dial the peers of a newer description from now on, and save it: coordinators come and go while a node works.

        Args:
            run: Verified; an older one than is known changes nothing.
        """
        known = self._run
        if known is not None and run.sequence <= known.sequence:
            return
        self._run = run
        if known is not None and run.payload == known.payload:
            return
        try:
            run = self._remember(run)
        except (ParisError, OSError) as error:
            _logger.warning("The run's new description is not saved: %s", error)
        self.initial_peers = tuple(dict.fromkeys((*run.payload.initial_peers, *self.given_peers)))

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """Store a record in the DHT. Never raises on network errors."""
        peer = self._peer or self._reconnect()
        outcome = Outcome.UNANSWERED if peer is None else peer.publish(envelope, self.num_buckets)
        self._note(answered=outcome is not Outcome.UNANSWERED)
        if envelope.kind == "want":
            self.is_full = outcome is Outcome.FULL
        return outcome

    def read(self, kind: str, part: int | str | None = None) -> list[Envelope[Any]]:
        """Verified records of a kind; empty if there are none, or if the DHT is unreachable."""
        peer = self._peer
        return [] if peer is None else list(peer.read(kind, part))

    def request_shard(self, address: str, request: bytes, *, timeout_s: float) -> ShardAnswer:
        """Send a request to another peer; see `RunPeer.request_shard`.

        Raises:
            PeerError: No answer, or this node has no running peer.
        """
        peer = self._peer
        if peer is None:
            raise PeerError("The run's peers are out of reach.")
        return peer.request_shard(address, request, timeout_s=timeout_s)

    def ask_line(self, address: str, request: bytes, *, timeout_s: float) -> bytes:
        """Send a request to one of the run's own peers; see `Peer.ask_line`.

        Raises:
            PeerError: No reply, or this node has no running peer.
        """
        peer = self._peer
        if peer is None:
            raise PeerError("The run's peers are out of reach.")
        return peer.ask_line(address, request, timeout_s=timeout_s)

    def traffic(self) -> Traffic:
        """Control-plane traffic since the start."""
        peer = self._peer
        return self._past if peer is None else self._past.plus(peer.traffic)

    @property
    def num_peers(self) -> int:
        """Peers that this node's own peer knows; 0 while none runs."""
        peer = self._peer
        return 0 if peer is None else peer.num_neighbours

    @property
    def is_up(self) -> bool:
        """Whether the DHT is reachable, by the last records published."""
        return self._is_up

    def close(self) -> None:
        """Stop the peer; no other is started."""
        with self._lock:
            self._is_closed = True
        self._stop_peer()

    def _stop_peer(self) -> None:
        with self._lock:
            peer, self._peer = self._peer, None
        if peer is not None:
            self._past = self._past.plus(peer.traffic)
            peer.stop()

    def _note(self, answered: bool) -> None:
        """Count failures in a row; a peer that has died is closed, so that the next record starts another."""
        with self._lock:
            self._failures = 0 if answered else self._failures + 1
            is_up = answered or (self._is_up and self._failures < _FAILURES_BEFORE_CHECK)
            is_changed, self._is_up = is_up != self._is_up, is_up
        if is_changed:
            _logger.info("The DHT is %s.", "reachable again" if is_up else "unreachable")
            self._on_change(is_up)
        peer = self._peer
        if self._failures >= _FAILURES_BEFORE_CHECK and peer is not None and not peer.healthy(_HEALTH_TIMEOUT_S):
            _logger.info("The DHT peer is dead; closing it.")
            self._stop_peer()

    def _reconnect(self) -> RunPeer | None:
        """The running peer, or a new one; only a stored record says that the DHT is reachable again."""
        try:
            return self._running_peer()
        except (ParisError, OSError) as error:
            _logger.info("The DHT peer cannot be started; the next record tries again: %s", error)
            _logger.debug("Reconnecting failed", exc_info=True)
            return None  # `_note` reports it after some failures

    def _running_peer(self) -> RunPeer:
        with self._starting:
            if self._peer is not None:
                return self._peer
            if self._is_closed:
                raise PeerError("This node has left the run's peers.")
            peer = self._start_peer(self.initial_peers)
            with self._lock:
                self._peer = None if self._is_closed else peer
            if self._is_closed:
                peer.stop()
                raise PeerError("This node has left the run's peers.")
            _logger.info("The DHT peer was started.")
            for callback in self._on_start:
                callback(peer)
            return peer


def peer_starter(
    run_id: str, coordinator: str | None, config: NodeConfig, *, run_relays: bool
) -> Callable[[tuple[str, ...]], RunPeer]:
    """A function that starts this node's peer: it only dials out, unless the volunteer hosts the DHT too.

    Args:
        run_id: The run.
        coordinator: The run's key; None accepts the key whose fingerprint is in the run id.
        config: The volunteer's settings.
        run_relays: Whether the run's initial peers relay.
    """
    uses_relay = run_relays if config.use_relay is None else config.use_relay

    def start(initial_peers: tuple[str, ...]) -> RunPeer:
        from paris.protocol.dht.peer import Peer
        from paris.protocol.run_peer import NetworkOptions

        return Peer.start(
            run_id=run_id,
            coordinator=coordinator,
            listen=list(config.listen),
            initial_peers=list(initial_peers),
            client_mode=not config.host_dht,
            startup_timeout_s=config.startup_timeout_s,
            # Relays and hole punching send packets of their own: only where the run or the volunteer asks for them.
            network=NetworkOptions(
                use_relay=uses_relay,
                auto_nat=uses_relay,
                announce=config.announce,
                relays=initial_peers
                if uses_relay and config.host_dht and not config.announce and is_behind_router()
                else (),
            ),
        )

    return start
