"""Volunteers of one cluster in one process, each with its own peer, cache and settings; a coordinator's peer that
grants leases; the Hub is `conftest.FileHub`."""

from __future__ import annotations

import hashlib
import json
import math
import random
import threading
import time
from pathlib import Path

from deadlines import DEADLINE_S

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.fetching.download import Downloader
from paris.node.fetching.fetcher import Fetcher
from paris.node.hub.client import Hub
from paris.node.hub.file import Wanted
from paris.node.retry import Backoff, StopSignal
from paris.node.sharing.asking import PeerSource
from paris.node.sharing.serving import ShardHost
from paris.node.sharing.sharing import Sharing
from paris.node.sharing.transfer import Patience
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.dht import DhtWay
from paris.node.swarm.ways.ways import Ways
from paris.protocol.manifest import shards_digest
from paris.protocol.run_records import Shard
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.shard_request import Reply, ShardStatus, seal_request
from paris.protocol.signing import Identity
from paris.protocol.work_records import Holding, Lease

QUICK = Patience(answer_s=1.0)
"""With peers that misbehave."""
_LONG = Patience(answer_s=60.0)
"""With honest ones: the machine may be busy."""


def soon() -> float:
    """How much time peers have: a shard that is needed soon."""
    return 60.0


def no_hurry() -> float:
    """The same for one that is not."""
    return math.inf


class World:
    """A coordinator's peer, a Hub, and the shards of cluster 0 on it; `peer_class` is `Peer` or `MemoryPeer`."""

    def __init__(self, folder: Path, hub, peer_class, num_shards: int = 4, shard_bytes: int = 200_000) -> None:
        self.folder, self.hub, self.peer_class = folder, hub, peer_class
        self.coordinator = Identity.generate()
        self.run_id = make_run_id("tiny", self.coordinator.public_key)
        self.peer = peer_class.start(run_id=self.run_id, coordinator=self.coordinator.public_key)
        self.files = [
            hub.add(f"shards/{i}.parquet", random.Random(i).randbytes(shard_bytes)) for i in range(num_shards)
        ]
        self.shards = tuple(Shard(path=f.path, sha256=f.sha256, bytes=f.num_bytes, rows=1) for f in self.files)
        self.manifest_sha256 = shards_digest(self.shards)
        self.volunteers: list[Volunteer] = []
        self._num_leases = 0

    def grant(self, volunteer: str) -> None:
        """Publish a lease of the run for a key."""
        self._num_leases += 1
        lease = Lease(
            lease_id=hashlib.sha256(volunteer.encode()).hexdigest()[:32],
            task_id="expert-0",
            attempt=self._num_leases,
            volunteer=volunteer,
            granted_at=time.time(),
            expires_at=time.time() + 600,
        )
        # A volunteer that is gone may still count as a replica: then it is said again.
        assert any(self.peer.publish(self.sealed(lease, self.coordinator), 1) for _ in range(3))

    def sealed(self, payload, identity: Identity):
        return Sealer(identity, self.run_id).seal(payload, 300.0)

    def volunteer(self, **settings) -> Volunteer:
        """A volunteer with a lease; see `Volunteer`."""
        self.volunteers.append(Volunteer(self, **settings))
        return self.volunteers[-1]

    def close(self) -> None:
        for volunteer in self.volunteers:
            volunteer.close()
        self.peer.stop()

    @property
    def hub_requests(self) -> list[str]:
        """Paths that were asked of the Hub."""
        return [path for path, _ in self.hub.requests]


class Volunteer:
    """The parts of a node that fetch and serve, put together as `joining.py` does.

    Args:
        world: The run.
        listens: Whether others can reach it.
        shares: As the setting `share_shards`.
        server: Answers questions in place of the node's own host: a peer that misbehaves.
        raw: Answers whole streams in its place; see `serve_raw`.
        cache: Folder; its own by default.
        identity: Its key; a new one by default.
    """

    def __init__(
        self,
        world: World,
        *,
        listens: bool = True,
        shares: bool = True,
        server=None,
        raw=None,
        cache: Path | None = None,
        identity: Identity | None = None,
        max_tries: int = 2,
        parallel: int = 2,
    ) -> None:
        self.world = world
        self.identity = identity or Identity.generate()
        if identity is None:
            world.grant(self.identity.public_key)
        self.cache = Cache(cache or world.folder / self.identity.public_key[:8])
        self.stop = StopSignal()
        self.swarm = Swarm(
            num_buckets=1,
            initial_peers=tuple(world.peer.addresses),
            start_peer=lambda peers: world.peer_class.start(
                run_id=world.run_id,
                coordinator=world.coordinator.public_key,
                initial_peers=peers,
                client_mode=not listens,
            ),
        )
        self.swarm.connect()
        ways = Ways([DhtWay(self.swarm, self.identity.public_key)])
        self.announcer = Announcer(ways, Sealer(self.identity, world.run_id), 30.0)
        self.announcer.start()
        hub = Hub(world.hub.endpoint, None)
        self.downloader = Downloader(
            hub, self.cache, self.stop.pause, max_tries=max_tries, backoff=Backoff(first_s=0.05)
        )
        self.fetcher = Fetcher(self.downloader, parallel=parallel)
        if server is not None:
            self.swarm.on_start(lambda peer: peer.serve_shards(server))
            self._say_that_it_serves()
        elif raw is not None:
            serve_raw(self, raw)
            self._say_that_it_serves()
        elif shares:
            self.sharing = Sharing(
                swarm=self.swarm,
                identity=self.identity,
                run_id=world.run_id,
                cache=self.cache,
                announcer=self.announcer,
                upload=Bandwidth(),
                max_uploads=4,
            )

    sharing: Sharing | None = None

    def _say_that_it_serves(self) -> None:
        addresses = tuple(self.swarm._peer.addresses)
        holding = Holding(cluster=0, manifest_sha256=self.world.manifest_sha256, addresses=addresses)
        assert self.swarm.publish(self.world.sealed(holding, self.identity))

    def begin(self, patience: Patience = _LONG) -> PeerSource:
        """Work on the cluster from now on; the way to the others."""
        taking = self.sharing.work_on(0, self.world.manifest_sha256, self.world.shards)
        taking.patience = patience
        self.downloader.peers = taking
        return taking

    def fetch_all(self, files: list[Wanted] | None = None, patience: Patience = _LONG) -> None:
        """Fetch; what came is what the Hub has."""
        if self.sharing is not None:
            self.begin(patience)
        files = files or self.world.files
        self.fetcher.fetch_all(files, lambda index, path: None, lambda: None)
        for wanted in files:
            assert self.cache.file(wanted.sha256).read_bytes() == self.world.hub.files[wanted.path]

    def meet(self, num_members: int, patience: Patience = _LONG) -> PeerSource:
        """Work on the cluster, and wait until so many others are seen: one read of a DHT may miss some."""
        taking, deadline = self.begin(patience), time.monotonic() + DEADLINE_S
        while len(taking.members()) < num_members:
            assert time.monotonic() < deadline
            self.stop.wait(0.1)
        return taking

    def meet_at(self, server: Volunteer) -> None:
        """Wait until a volunteer that has the first shard knows of this one's lease."""
        deadline = time.monotonic() + DEADLINE_S
        while ask(self.world, self, server, self.world.files[0].sha256) is not ShardStatus.AVAILABLE:
            assert time.monotonic() < deadline
            self.stop.wait(0.1)

    def host(self, max_uploads: int) -> ShardHost:
        """What answers questions in its place, with another limit."""
        return ShardHost(
            self.sharing.inventory,
            self.sharing._members,
            run_id=self.world.run_id,
            peer_id=self.swarm._peer.peer_id,
            upload=Bandwidth(),
            max_uploads=max_uploads,
        )

    def close(self) -> None:
        self.stop.set()
        self.announcer.stop()
        self.swarm.close()


class Misbehaving:
    """Serves whatever it is told to: `reply(sha256)` of every question; counts them."""

    def __init__(self, reply, pace_s: float = 0.0) -> None:
        self._reply, self._pace_s = reply, pace_s
        self.num_asked = 0
        self._lock = threading.Lock()

    def answer(self, question: bytes) -> Reply:
        with self._lock:
            self.num_asked += 1
        return self._reply(question)

    def pace(self, num_bytes: int) -> float:
        return self._pace_s

    def release(self, reply: Reply) -> None:
        """Nothing to give back."""


def reply_with(path: Path, question: bytes, world: World) -> Reply:
    offset = json.loads(question)["offset"]
    return Reply(ShardStatus.AVAILABLE, path, offset, world.files[0].num_bytes - offset)


def serve_raw(volunteer: Volunteer, on_stream) -> None:
    """Let a volunteer answer streams in place of `ShardStreams`: `on_stream(reader, writer)`, after the question."""

    async def handler(_info, reader, writer) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
        await on_stream(reader, writer)

    peer = volunteer.swarm._peer
    p2p = peer._node.daemon.p2p
    peer._thread.call(p2p.add_binary_stream_handler("paris.shard.v1", handler), timeout_s=DEADLINE_S)


def seal_question(world, asking, peer, sha256, *, identity=None, to=None, offset=0, run_id=None) -> bytes:
    """A question to a peer, true but for what is told otherwise."""
    return seal_request(
        identity or asking.identity,
        run_id=run_id or world.run_id,
        to=to or peer.peer_id,
        sha256=sha256,
        offset=offset,
        at=time.time(),
    )


def ask(world, asking, asked, sha256, **changes) -> ShardStatus:
    """Put one question; see `seal_question`."""
    peer = asked.swarm._peer
    question = seal_question(world, asking, peer, sha256, **changes)
    stream = asking.swarm.request_shard(peer.addresses[0], question, timeout_s=5)
    stream.close()
    return stream.status


class Clock:
    """A clock that waiting moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
