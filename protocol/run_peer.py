"""What node and coordinator use of a peer of the run, whatever network carries it.

`protocol/dht/` is one implementation; to replace its network is to write another. Tests hold every implementation to
one contract (`tests/protocol/test_peer_contract.py`).

    peer.publish(envelope, num_buckets)      # true: other peers hold exactly this record
    peer.read("lease")                       # checked envelopes, possibly none
    peer.stop()

Errors while starting are typed exceptions. Later network failures give False or an empty list, not an exception.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict

from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError
from paris.protocol.line import LineServer
from paris.protocol.outcome import Outcome
from paris.protocol.payload import Payload
from paris.protocol.shard_request import ShardServer, ShardStatus

Place = tuple[str, int | str | None]
"""A record kind, and the cluster or bucket of kinds that have parts; or `keys.OWN` and a volunteer."""


class NetworkOptions(BaseModel):
    """Optional network features. All are off by default, because each sends unsolicited packets.

    hivemind's defaults are on: even a peer on 127.0.0.1 asks the gateway for a port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nat_port_map: bool = False
    """Ask the router for a port by UPnP and NAT-PMP."""
    auto_nat: bool = False
    """AutoNAT: others probe whether this peer is reachable; hole punching."""
    use_relay: bool = False
    """Reach peers behind routers through relays."""
    is_relay: bool = False
    """Relay for others, up to 4 GiB and 30 minutes a connection; for a public peer with `use_relay`."""
    relays: tuple[str, ...] = ()
    """Full multiaddrs of peers through which this one is reached, since none can connect to it; takes `use_relay`."""
    announce: tuple[str, ...] = ()
    """Multiaddrs to announce instead of the listening ones, such as a public address with port forwarding."""


@dataclass(frozen=True)
class Traffic:
    """Records and bytes exchanged since the start.

    Bytes count requests and responses for records, without the network's framing and encryption.
    """

    records_sent: int = 0
    bytes_sent: int = 0
    records_received: int = 0
    bytes_received: int = 0


class ShardAnswer(Protocol):
    """A peer's response to a shard request; the caller closes it."""

    status: ShardStatus
    num_bytes: int
    """That follow."""

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Read at least one byte; returns none when the peer has closed the stream.

        Raises:
            PeerError: Timeout, or the stream broke.
        """

    def close(self) -> None:
        """Close the stream."""


class RunPeer(Protocol):
    """A running peer of a run. Thread-safe."""

    @classmethod
    @abstractmethod
    def start(
        cls,
        *,
        run_id: str,
        coordinator: str | None,
        listen: Sequence[str] = ("/ip4/127.0.0.1/tcp/0",),
        initial_peers: Sequence[str] = (),
        client_mode: bool = False,
        identity_path: Path | None = None,
        startup_timeout_s: float = 60.0,
        network: NetworkOptions | None = None,
    ) -> Self:
        """Start a peer and join the run's swarm.

        Args:
            run_id: The run; records of other runs are refused.
            coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
            listen: Multiaddrs to listen on, port 0 for any; not used in client mode.
            initial_peers: Full multiaddrs to join by, of which one must answer; empty for the first peer of a swarm.
            client_mode: Only dial out, and store nothing for others; the default of volunteers.
            identity_path: libp2p key file, created if missing; None for a new peer id at each start.
            startup_timeout_s: Limit for the whole start.
            network: Optional network features.

        Raises:
            RecordError: `run_id` is not a run id.
            PortTakenError, IdentityError, AddressError, DaemonError, NoPeersError, ClockError, UnreachableError: The
                start failed; nothing is left running.
        """

    @property
    @abstractmethod
    def addresses(self) -> list[str]:
        """Full multiaddrs with `/p2p/ID`, IPv4 first; empty for a client."""

    @property
    @abstractmethod
    def peer_id(self) -> str:
        """Base58 libp2p peer id."""

    @property
    @abstractmethod
    def traffic(self) -> Traffic:
        """Records and bytes exchanged since the start."""

    @property
    @abstractmethod
    def refusals(self) -> dict[str, int]:
        """Number of refused records by reason code (`validator.Reason`)."""

    @property
    @abstractmethod
    def num_neighbours(self) -> int:
        """Other peers that this one knows."""

    @abstractmethod
    def publish_many(
        self, envelopes: Sequence[Envelope[Any]], num_buckets: int, *, timeout_s: float = 30.0
    ) -> list[Outcome]:
        """Store records at peers until they expire.

        Args:
            envelopes: Sealed records of this run.
            num_buckets: The run's bucket count (`RunSpec.num_buckets`).
            timeout_s: Limit for all records.

        Returns:
            For each record its outcome: true if other peers hold exactly it (in a swarm of one, if this peer does).
        """

    @abstractmethod
    def read_many(self, places: Iterable[Place], *, timeout_s: float = 20.0) -> dict[Place, list[Envelope[Payload]]]:
        """Read several kinds at once; the newest of each record.

        Args:
            places: Kinds, each with its cluster or bucket, or None.
            timeout_s: Limit for all places together.

        Returns:
            For each place its valid records, ordered by subkey; empty if none was found in time. An empty list proves
            nothing: read again before acting on it.
        """

    @abstractmethod
    def read_fresh(self, places: Iterable[Place], *, timeout_s: float = 20.0) -> dict[Place, list[Envelope[Payload]]]:
        """Read what was stored at this peer since the last call, by others or itself; no other peer is asked.

        Args:
            places: As in `read_many`.
            timeout_s: Limit for all places together.

        Returns:
            For each place its valid records, ordered by subkey. None of them is read here again, also after a timeout:
            who needs all reads all.
        """

    @abstractmethod
    def serve_shards(self, server: ShardServer) -> None:
        """Start answering shard requests. Call once per peer.

        Args:
            server: Decides on each request; called from worker threads.

        Raises:
            DaemonError: This peer cannot serve.
        """

    @abstractmethod
    def request_shard(self, address: str, request: bytes, *, timeout_s: float = 10.0) -> ShardAnswer:
        """Send a request (`shard_request.seal_request`) to a peer. The caller closes the answer.

        Raises:
            PeerError: No valid response.
        """

    @abstractmethod
    def serve_line(self, server: LineServer) -> None:
        """Start answering what volunteers ask. Call once per peer.

        Args:
            server: Decides on each request; called from worker threads.

        Raises:
            DaemonError: This peer cannot serve.
        """

    @abstractmethod
    def ask_line(self, address: str, request: bytes, *, timeout_s: float = 10.0) -> bytes:
        """Send a request (`line.seal_request`) to a peer and wait for its reply.

        Raises:
            PeerError: No reply.
        """

    @abstractmethod
    def try_peer(self, address: str, *, timeout_s: float = 30.0) -> ParisError | None:
        """Connect to another peer of the run and ask it, as joining by it does.

        Args:
            address: Full multiaddr.
            timeout_s: Limit for all of it.

        Returns:
            Why this peer could not join by it: `AddressError`, `NoPeersError`, `ClockError` or `UnreachableError`; None
            where it could.
        """

    @abstractmethod
    def healthy(self, timeout_s: float = 10.0) -> bool:
        """Whether another peer answers or, for the only peer of a swarm, its own network does."""

    @abstractmethod
    def stop(self) -> None:
        """Leave the swarm; then nothing answers, and nothing is raised. Idempotent."""

    def publish(self, envelope: Envelope[Any], num_buckets: int, *, timeout_s: float = 15.0) -> Outcome:
        """Publish one record; see `publish_many`."""
        return self.publish_many([envelope], num_buckets, timeout_s=timeout_s)[0]

    def read(self, kind: str, part: int | str | None = None, *, timeout_s: float = 10.0) -> list[Envelope[Payload]]:
        """Read all records of a kind; see `read_many`."""
        return self.read_many([(kind, part)], timeout_s=timeout_s)[(kind, part)]

    def read_all(self, kind: str, num_buckets: int, *, timeout_s: float = 20.0) -> list[Envelope[Payload]]:
        """Read all buckets of a kind that volunteers sign."""
        found = self.read_many([(kind, bucket) for bucket in range(num_buckets)], timeout_s=timeout_s)
        return [envelope for envelopes in found.values() for envelope in envelopes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
