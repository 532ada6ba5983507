"""The run's peer over hivemind's DHT: `RunPeer`, synchronous, on an event loop in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from paris.protocol.dht.loop import LoopThread
from paris.protocol.dht.options import PeerOptions
from paris.protocol.envelope import Envelope
from paris.protocol.errors import DaemonError, NoPeersError, ParisError, PeerError, SlowStartError
from paris.protocol.keys import dht_key, places_of
from paris.protocol.line import LineServer
from paris.protocol.outcome import Outcome
from paris.protocol.payload import Payload
from paris.protocol.run_peer import NetworkOptions, Place, RunPeer, Traffic
from paris.protocol.runid import require_run_id
from paris.protocol.shard_request import ShardServer

if TYPE_CHECKING:
    from paris.protocol.dht.node import RunNode
    from paris.protocol.dht.shards import ShardStream

_log = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 10.0
T = TypeVar("T")


class Peer(RunPeer):
    """A peer of a run's DHT, in its own thread. Made by `start`; thread-safe."""

    def __init__(self, thread: LoopThread, node: RunNode, addresses: list[str]) -> None:
        self._thread = thread
        self._node = node
        self._addresses = addresses
        self._stopped = False

    @classmethod
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
    ) -> Peer:
        """Start a peer and join the run's swarm; see `RunPeer.start`."""
        require_run_id(run_id)
        options = PeerOptions(
            run_id=run_id,
            coordinator=coordinator,
            listen=tuple(listen),
            initial_peers=tuple(initial_peers),
            client_mode=client_mode,
            identity_path=identity_path,
            startup_timeout_s=startup_timeout_s,
            network=network or NetworkOptions(),
        )
        thread = LoopThread(f"dht-{run_id}")
        try:
            return cls(thread, *thread.call(_start(options), timeout_s=startup_timeout_s))
        except TimeoutError as error:
            thread.close()
            what = f"The DHT peer did not start within {startup_timeout_s:.0f} s."
            raise SlowStartError(what, "Try again.") from error
        except BaseException:
            thread.close()
            raise

    @property
    def addresses(self) -> list[str]:
        """As `RunPeer`."""
        return list(self._addresses)

    @property
    def peer_id(self) -> str:
        """As `RunPeer`."""
        return self._node.daemon.peer_id

    @property
    def traffic(self) -> Traffic:
        """As `RunPeer`; bytes without libp2p's framing and encryption."""
        return self._node.traffic

    @property
    def refusals(self) -> dict[str, int]:
        """As `RunPeer`."""
        return self._node.judge.refusals

    @property
    def num_neighbours(self) -> int:
        """Peers in the routing table."""
        return self._node.num_neighbours

    def publish_many(
        self, envelopes: Sequence[Envelope[Any]], num_buckets: int, *, timeout_s: float = 30.0
    ) -> list[Outcome]:
        """Store records on their replicas until they expire; see `RunPeer.publish_many`."""
        from paris.protocol.dht.exchange import PlacedRecord, store_records

        records = [
            PlacedRecord(key, subkey, envelope)
            for envelope in envelopes
            for key, subkey in places_of(envelope.run_id, envelope.payload, envelope.signer, num_buckets)
        ]
        stored = self._call(store_records(self._node, records), [Outcome.UNANSWERED] * len(records), timeout_s)
        outcomes = {id(envelope): Outcome.STORED for envelope in envelopes}
        for record, outcome in zip(records, stored, strict=True):
            if not outcome:
                outcomes[id(record.envelope)] = outcome
        return [outcomes[id(envelope)] for envelope in envelopes]

    def read_many(self, places: Iterable[Place], *, timeout_s: float = 20.0) -> dict[Place, list[Envelope[Payload]]]:
        """Read keys concurrently from all replicas; see `RunPeer.read_many`."""
        from paris.protocol.dht.exchange import read_records

        keys = {place: dht_key(self._node.options.run_id, *place) for place in places}
        nothing: dict[str, list[Envelope[Payload]]] = {key: [] for key in keys.values()}
        found = self._call(read_records(self._node, list(keys.values())), nothing, timeout_s)
        return {place: found[key] for place, key in keys.items()}

    def read_fresh(self, places: Iterable[Place], *, timeout_s: float = 20.0) -> dict[Place, list[Envelope[Payload]]]:
        """Read what was stored at this peer; see `RunPeer.read_fresh`."""
        from paris.protocol.dht.exchange import read_fresh

        keys = {place: dht_key(self._node.options.run_id, *place) for place in places}
        nothing: dict[str, list[Envelope[Payload]]] = {key: [] for key in keys.values()}
        found = self._call(read_fresh(self._node, list(keys.values())), nothing, timeout_s)
        return {place: found[key] for place, key in keys.items()}

    def serve_shards(self, server: ShardServer) -> None:
        """As `RunPeer`; raises DaemonError if the daemon does not register the handler."""
        from paris.protocol.dht.shards import ShardStreams

        try:
            self._thread.call(ShardStreams(self._node.daemon).serve(server), timeout_s=_STOP_TIMEOUT_S)
        except (TimeoutError, CancelledError, OSError) as error:
            raise DaemonError("The libp2p daemon does not serve shards.", "Join again.") from error

    def request_shard(self, address: str, request: bytes, *, timeout_s: float = 10.0) -> ShardStream:
        """As `RunPeer`."""
        from paris.protocol.dht.shards import open_shard_stream

        if self._stopped:
            raise PeerError("This peer has been stopped.")
        return open_shard_stream(self._thread, self._node.daemon, address, request, timeout_s=timeout_s)

    def serve_line(self, server: LineServer) -> None:
        """As `RunPeer`."""
        from paris.protocol.dht.line import LineStreams

        streams = LineStreams(self._node.daemon, self._node.protocol.traffic)
        try:
            self._thread.call(streams.serve(server), timeout_s=_STOP_TIMEOUT_S)
        except (TimeoutError, CancelledError, OSError) as error:
            raise DaemonError("The libp2p daemon does not serve the line.", "Start again.") from error

    def ask_line(self, address: str, request: bytes, *, timeout_s: float = 10.0) -> bytes:
        """As `RunPeer`."""
        from paris.protocol.dht.line import ask

        if self._stopped:
            raise PeerError("This peer has been stopped.")
        node = self._node
        return ask(self._thread, node.daemon, node.protocol.traffic, address, request, timeout_s=timeout_s)

    def try_peer(self, address: str, *, timeout_s: float = 30.0) -> ParisError | None:
        """As `RunPeer`."""
        late = NoPeersError(f"{address}: no answer within {timeout_s:.0f} s.")
        return self._call(self._node.try_peer(address), late, timeout_s)

    def healthy(self, timeout_s: float = 10.0) -> bool:
        """Whether another peer answers or, for the only peer of a swarm, its own daemon.

        Nothing else reveals a dead daemon: hivemind continues to answer from memory.
        """
        return self._call(self._node.is_healthy(), False, timeout_s)

    def stop(self) -> None:
        """Leave the swarm and stop the daemon, at last by force. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        try:
            self._thread.call(self._node.stop(), timeout_s=_STOP_TIMEOUT_S)
        except (TimeoutError, CancelledError):
            _log.warning("The DHT peer did not stop within %.0f s; its daemon is killed.", _STOP_TIMEOUT_S)
        finally:
            self._thread.close()

    def _call(self, coroutine: Coroutine[Any, Any, T], otherwise: T, timeout_s: float) -> T:
        """Run a coroutine in the peer's loop; return `otherwise` on timeout, or if the peer is stopped."""
        if self._stopped:
            coroutine.close()
            return otherwise
        try:
            return self._thread.call(coroutine, timeout_s=timeout_s)
        except (TimeoutError, CancelledError):
            _log.warning("The DHT did not answer within %.0f s.", timeout_s)
            return otherwise


async def _start(options: PeerOptions) -> tuple[RunNode, list[str]]:
    # Imported here: programs that start no peer import no hivemind.
    from paris.protocol.dht.node import start_node

    node = await start_node(options)
    return node, await node.addresses()
