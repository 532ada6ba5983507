"""One node's part in sharing: it serves if it listens, and asks the volunteers that serve."""

from __future__ import annotations

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.sharing.asking import Asker, PeerSource
from paris.node.sharing.inventory import Inventory
from paris.node.sharing.members import Members, usable
from paris.node.sharing.serving import ShardHost
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.protocol.run_peer import RunPeer
from paris.protocol.run_records import Shard
from paris.protocol.signing import Identity
from paris.protocol.work_records import Holding

_MAX_ADDRESSES = 4
_MIN_UPLOAD_BYTES_PER_S = 2**17
"""What each upload should get; a receiver gives up at half of it."""


class Sharing:
    """Sharing for the lifetime of a node.

    Args:
        swarm: Its DHT peer serves as soon as it runs, if it listens.
        identity: Signs requests.
        run_id: The run.
        cache: Holds the shards.
        announcer: Publishes where this node serves.
        upload: The limit of all uploads together.
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
        self.inventory = Inventory(cache)
        self._swarm, self._asker, self._run_id = swarm, Asker(swarm, identity, run_id), run_id
        self._cache, self._announcer = cache, announcer
        limit = max_uploads if upload.bytes_per_s is None else upload.bytes_per_s // _MIN_UPLOAD_BYTES_PER_S
        self._upload, self._max_uploads = upload, max(1, min(max_uploads, limit))
        self._members = Members(swarm, identity.public_key)
        self._addresses: tuple[str, ...] = ()
        self._served: tuple[int, str] | None = None
        """Cluster and manifest of the current task."""
        swarm.on_start(self._serve)

    def work_on(self, cluster: int, manifest_sha256: str, shards: tuple[Shard, ...]) -> PeerSource:
        """Serve the shards of a cluster from now on, and announce it; those of earlier clusters stay served.

        Args:
            cluster: The cluster.
            manifest_sha256: Its manifest, as the task signs it.
            shards: The manifest's entries.

        Returns:
            The same shards at other volunteers.
        """
        self.inventory.add(shards)
        self.inventory.want(shard.sha256 for shard in shards)
        self._served = (cluster, manifest_sha256)
        if (holding := self._holding()) is not None:
            # Before the others are asked: of two nodes that begin together, at least one then sees the other.
            self._announcer.publish_and_wait(holding)
        return PeerSource(
            self._asker,
            self.inventory,
            self._cache,
            members=lambda: self._members.serving(cluster, manifest_sha256),
            serves=lambda: bool(self._addresses),
        )

    def _serve(self, peer: RunPeer) -> None:
        """Serve through a DHT peer that has just started."""
        self._addresses = usable(peer.addresses, self._swarm.initial_peers)[:_MAX_ADDRESSES]
        if self._addresses:
            host = ShardHost(
                self.inventory,
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
        """The record to publish; None without a task, or if this node cannot be reached."""
        if self._served is None or not self._addresses:
            return None
        cluster, manifest_sha256 = self._served
        return Holding(cluster=cluster, manifest_sha256=manifest_sha256, addresses=self._addresses)
