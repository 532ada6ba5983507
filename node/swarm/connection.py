"""The node's DHT peer, kept alive: a transport that dies is started again, and a dead DHT stops nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from paris.node.machine.config import NodeConfig
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, PeerError

if TYPE_CHECKING:
    from paris.protocol.dht.peer import Peer
    from paris.protocol.dht.shards import ShardStream

_FAILURES_BEFORE_CHECK = 3
_HEALTH_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Traffic:
    """Records and bytes that went over the control plane, over all restarts of the peer."""

    records_sent: int = 0
    bytes_sent: int = 0
    records_received: int = 0
    bytes_received: int = 0

    def plus(self, other: Any) -> Traffic:
        """Sum with another count of the same four fields."""
        return Traffic(**{name: value + int(getattr(other, name)) for name, value in asdict(self).items()})


class Swarm:
    """What the node says to and hears from the others.

    Args:
        num_buckets: From the RunSpec.
        initial_peers: Multiaddrs to dial.
        start_peer: Starts a peer that dials these addresses; may raise NoPeersError.
        on_change: Told True when the DHT is reachable again, False when it is not.
    """

    def __init__(
        self,
        *,
        num_buckets: int,
        initial_peers: tuple[str, ...],
        start_peer: Callable[[tuple[str, ...]], Peer],
        on_change: Callable[[bool], None] = lambda is_up: None,
    ) -> None:
        self.num_buckets = num_buckets
        self.initial_peers = initial_peers
        self._start_peer = start_peer
        self._on_change = on_change
        self._peer: Peer | None = None
        self._on_start: list[Callable[[Peer], None]] = []
        self._lock = threading.Lock()
        self._past = Traffic()
        self._failures = 0
        self._is_up = False

    def connect(self) -> None:
        """Start the peer.

        Raises:
            NoPeersError: No initial peer answered; the swarm stays usable and tries again when something is said.
        """
        peer = self._start_peer(self.initial_peers)
        with self._lock:
            self._peer = peer
        self._failures = 0
        self._is_up = True
        for tell in self._on_start:
            tell(peer)

    def on_start(self, tell: Callable[[Peer], None]) -> None:
        """Tell of the peer, now if it runs, and of each that replaces it."""
        self._on_start.append(tell)
        if self._peer is not None:
            tell(self._peer)

    def publish(self, envelope: Envelope[Any]) -> bool:
        """Store a record; False where nobody took it. Never raises on network trouble."""
        peer = self._peer or self._reconnect()
        accepted = peer is not None and peer.publish(envelope, self.num_buckets)
        self._note(accepted)
        return accepted

    def read(self, kind: str, part: int | None = None) -> list[Envelope[Any]]:
        """Checked records of a kind; empty where there are none, or where the DHT is out of reach."""
        peer = self._peer
        return [] if peer is None else list(peer.read(kind, part))

    def ask_for_shard(self, address: str, question: bytes, *, timeout_s: float) -> ShardStream:
        """Put a question to another peer; see `Peer.ask_for_shard`.

        Raises:
            PeerError: No answer, or no peer of our own now.
        """
        peer = self._peer
        if peer is None:
            raise PeerError("The run's peers are out of reach.")
        return peer.ask_for_shard(address, question, timeout_s=timeout_s)

    def traffic(self) -> Traffic:
        """What went over the control plane since the start."""
        peer = self._peer
        return self._past if peer is None else self._past.plus(peer.traffic)

    @property
    def is_up(self) -> bool:
        """Whether the last record found somebody who stored it."""
        return self._is_up

    def close(self) -> None:
        """Stop the peer."""
        with self._lock:
            peer, self._peer = self._peer, None
        if peer is not None:
            self._past = self._past.plus(peer.traffic)
            peer.stop()

    def _note(self, accepted: bool) -> None:
        """Count failures in a row; a peer that answers nobody any more is replaced."""
        self._failures = 0 if accepted else self._failures + 1
        is_up = self._failures < _FAILURES_BEFORE_CHECK
        if is_up != self._is_up:
            self._is_up = is_up
            self._on_change(is_up)
        peer = self._peer
        if self._failures >= _FAILURES_BEFORE_CHECK and peer is not None and not peer.healthy(_HEALTH_TIMEOUT_S):
            self.close()

    def _reconnect(self) -> Peer | None:
        try:
            self.connect()
        except (ParisError, OSError):
            return None  # reported by `_note` after some failures; tried again with the next record
        self._on_change(True)
        return self._peer


def peer_starter(run_id: str, coordinator: str | None, config: NodeConfig) -> Callable[[tuple[str, ...]], Peer]:
    """How this node starts its peer: dialling out only, unless the volunteer hosts the DHT too.

    Args:
        run_id: The run.
        coordinator: The run's key; None accepts the key that the run id vouches for.
        config: The volunteer's settings.
    """

    def start(initial_peers: tuple[str, ...]) -> Peer:
        from paris.protocol.dht.options import NetworkOptions
        from paris.protocol.dht.peer import Peer

        return Peer.start(
            run_id=run_id,
            coordinator=coordinator,
            listen=list(config.listen),
            initial_peers=list(initial_peers),
            client_mode=not config.host_dht,
            startup_timeout_s=config.startup_timeout_s,
            # Relays and hole punching send packets of their own, so only when the volunteer says so.
            network=NetworkOptions(use_relay=config.use_relay, auto_nat=config.use_relay, announce=config.announce),
        )

    return start
