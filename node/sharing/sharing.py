"""One node's part in sharing: it serves where it can be reached, and takes from those who serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.sharing.asking import Taking
from paris.node.sharing.inventory import ShardBoard
from paris.node.sharing.members import Members, usable
from paris.node.sharing.serving import ShardHost
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.protocol.records import Holding, Shard
from paris.protocol.signing import Identity

if TYPE_CHECKING:
    from paris.protocol.dht.peer import Peer

_MAX_ADDRESSES = 4
_WORTH_BYTES_PER_S = 2**17
"""What an upload should get: others give up on half of it."""


class Sharing:
    """What a node that shares has, once for its whole life.

    Args:
        swarm: Its DHT peer, which serves as soon as it runs, and listens or not as the volunteer chose.
        identity: Signs questions and holdings.
        run_id: The run.
        cache: Where shards are.
        announcer: Says where this node serves.
        upload: The volunteer's limit.
        max_uploads: Shards sent at the same time; fewer where the limit would make each too slow.
    """

    def __init__(
        self,
        *,
        swarm: Swarm,
        identity: Identity,
        run_id: str,
        cache: Cache,
        announcer: Announcer,
        upload: Bandwidth,
        max_uploads: int,
    ) -> None:
        self.board = ShardBoard(cache)
        self._swarm, self._identity, self._run_id = swarm, identity, run_id
        self._cache, self._announcer = cache, announcer
        most = max_uploads if upload.bytes_per_s is None else upload.bytes_per_s // _WORTH_BYTES_PER_S
        self._upload, self._max_uploads = upload, max(1, min(max_uploads, most))
        self._members = Members(swarm, identity.public_key)
        self._addresses: tuple[str, ...] = ()
        self._about: tuple[int, str] | None = None
        swarm.on_start(self._serve)

    def work_on(self, cluster: int, manifest_sha256: str, shards: tuple[Shard, ...]) -> Taking:
        """Serve the shards of a cluster from now on, and say so; shards of earlier ones stay served.

        Args:
            cluster: The cluster.
            manifest_sha256: Its manifest, as the task signs it.
            shards: The manifest's entries.

        Returns:
            The way to the same shards at other volunteers.
        """
        self.board.add(shards)
        self.board.want(shard.sha256 for shard in shards)
        self._about = (cluster, manifest_sha256)
        if (holding := self._holding()) is not None:
            # Said before the others are asked: of two that begin together, at least one then sees the other.
            self._announcer.publish_and_wait(holding)
        return Taking(
            swarm=self._swarm,
            identity=self._identity,
            run_id=self._run_id,
            board=self.board,
            cache=self._cache,
            members=lambda: self._members.serving(cluster, manifest_sha256),
            serves=lambda: bool(self._addresses),
        )

    def _serve(self, peer: Peer) -> None:
        """Serve by a peer that has just started: the first, or one that replaces a dead one."""
        self._addresses = usable(peer.addresses, self._swarm.initial_peers)[:_MAX_ADDRESSES]
        if self._addresses:
            host = ShardHost(
                self.board,
                self._members,
                run_id=self._run_id,
                peer_id=peer.peer_id,
                upload=self._upload,
                max_uploads=self._max_uploads,
            )
            peer.serve_shards(host)
        if (holding := self._holding()) is not None:
            self._announcer.publish(holding)

    def _holding(self) -> Holding | None:
        """What to say; nothing before there is a cluster, or where nobody could reach this node."""
        if self._about is None or not self._addresses:
            return None
        cluster, manifest_sha256 = self._about
        return Holding(cluster=cluster, manifest_sha256=manifest_sha256, addresses=self._addresses)
