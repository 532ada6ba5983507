"""What the processes in the namespaces run: peers of the sample run, and a server of one file."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from deadlines import DEADLINE_S
from protocol_samples import COORDINATOR, RUN, RUN_ID, VOLUNTEER, sealed

from paris.protocol.addresses import split_peer_address
from paris.protocol.dht.peer import Peer
from paris.protocol.run_peer import NetworkOptions
from paris.protocol.shard_request import Reply, ShardStatus, open_request, seal_request


def _start(**options: object) -> Peer:
    return Peer.start(run_id=RUN_ID, coordinator=COORDINATOR.public_key, **options)


def relaying(listen: str, identity: Path) -> Peer:
    """A public peer that relays."""
    network = NetworkOptions(use_relay=True, is_relay=True, auto_nat=True)
    return _start(listen=[listen], identity_path=identity, network=network)


def behind(relays: list[str], port: int) -> Peer:
    """A peer that listens behind a router, and is reached through relays."""
    network = NetworkOptions(use_relay=True, auto_nat=True, relays=tuple(relays))
    return _start(listen=[f"/ip4/0.0.0.0/tcp/{port}"], initial_peers=relays, network=network)


def dialling(initial_peers: list[str]) -> Peer:
    """A peer that only dials out, also through relays."""
    network = NetworkOptions(use_relay=True)
    return _start(initial_peers=initial_peers, client_mode=True, network=network)


class OneFile:
    """Serves one file to whoever signs a request."""

    def __init__(self, peer: Peer, path: Path) -> None:
        self._peer_id, self._path = peer.peer_id, path

    def answer(self, request_bytes: bytes) -> Reply:
        asked = open_request(request_bytes, run_id=RUN_ID, peer_id=self._peer_id, now=time.time())
        size = self._path.stat().st_size - asked.offset
        return Reply(ShardStatus.AVAILABLE, self._path, asked.offset, size, asked.signer)

    def pace(self, num_bytes: int) -> float:
        return 0.0

    def release(self, reply: Reply) -> None:
        """There is no limit to free."""


def serve(peer: Peer, path: str) -> bool:
    """Begin to serve a file."""
    peer.serve_shards(OneFile(peer, Path(path)))
    return True


def digest_from(peer: Peer, address: str, timeout_s: float) -> str:
    """Fetch the file of another peer, and go on where a stream ends early, as a node does; its sha256."""
    _, to = split_peer_address(address)
    got, offset, left = hashlib.sha256(), 0, 1
    deadline = time.monotonic() + DEADLINE_S
    while left:
        assert time.monotonic() < deadline, f"{left} bytes are missing"
        request = seal_request(VOLUNTEER, run_id=RUN_ID, to=to, sha256="0" * 64, offset=offset, at=time.time())
        stream = peer.request_shard(address, request, timeout_s=timeout_s)
        left = stream.num_bytes
        while left and (piece := stream.read(1 << 16, timeout_s=timeout_s)):
            got.update(piece)
            offset, left = offset + len(piece), left - len(piece)
        stream.close()
    return got.hexdigest()


def publish_run(peer: Peer) -> bool:
    """Publish the run's description; whether other peers hold it."""
    return bool(peer.publish(sealed(RUN, issued_at=time.time()), 1))


def run_names(peer: Peer) -> list[str]:
    """The names in the descriptions that it reads."""
    return [envelope.payload.name for envelope in peer.read("run")]


def offers_relay(peer: Peer) -> bool:
    """Whether its daemon was started as a relay for others."""
    pid = peer._node.daemon.p2p._child.pid
    return b"-relayService=0" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def ways_to(peer: Peer, peer_id: str) -> list[str]:
    """Addresses of the connections to another peer."""

    async def look() -> list[str]:
        found = await peer._node.daemon.p2p.list_peers()
        return [str(maddr) for info in found if info.peer_id.to_base58() == peer_id for maddr in info.addrs]

    return peer._thread.call(look(), timeout_s=DEADLINE_S)
