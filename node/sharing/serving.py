"""Serves shards to volunteers with a lease of this run, within this volunteer's limits."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.sharing.inventory import Inventory
from paris.node.sharing.members import Members
from paris.protocol.errors import ParisError
from paris.protocol.shard_request import Reply, ShardRequest, ShardStatus, open_request

_logger = logging.getLogger(__name__)


class ShardHost:
    """The serving end of one DHT peer (`paris.protocol.shard_request.ShardServer`).

    Args:
        inventory: This node's shards.
        members: Says who may ask.
        run_id: The run.
        peer_id: This node's DHT peer, base58.
        upload: The limit of all uploads together.
        max_uploads: Shards sent at the same time; to one volunteer half as many.
        clock: UTC seconds.
    """

    def __init__(
        self,
        inventory: Inventory,
        members: Members,
        *,
        run_id: str,
        peer_id: str,
        upload: Bandwidth,
        max_uploads: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inventory, self._members = inventory, members
        self._run_id, self._peer_id = run_id, peer_id
        self._upload, self._max_uploads = upload, max_uploads
        self._clock = clock
        self._lock = threading.Lock()
        self._num_uploads: Counter[str] = Counter()

    def answer(self, request_bytes: bytes) -> Reply:
        """Answer a request; an invalid one is refused without a reason."""
        try:
            request = open_request(request_bytes, run_id=self._run_id, peer_id=self._peer_id, now=self._clock())
        except ParisError as error:
            _logger.debug("Refused a request: %s", error)
            return Reply(ShardStatus.REFUSED)
        if not self._members.has_lease(request.signer):
            _logger.debug("Refused %s...: no lease of the run.", request.signer[:12])
            return Reply(ShardStatus.REFUSED)
        status = self._inventory.status(request.sha256)
        reply = self._take_slot(request) if status is ShardStatus.AVAILABLE else Reply(status, signer=request.signer)
        _logger.debug("Answered %s... about %s...: %s.", request.signer[:12], request.sha256[:12], reply.status.name)
        return reply

    def pace(self, num_bytes: int) -> float:
        """Seconds to wait before so many bytes are sent."""
        return self._upload.wait_s(num_bytes)

    def release(self, reply: Reply) -> None:
        """Free the upload slot of a reply that was sent."""
        if reply.path is not None:
            with self._lock:
                self._num_uploads[reply.signer] -= 1

    def _take_slot(self, request: ShardRequest) -> Reply:
        path = self._inventory.path(request.sha256)
        num_bytes = self._inventory.num_bytes(request.sha256) - request.offset
        if path is None or num_bytes <= 0:
            status = ShardStatus.ABSENT if path is None else ShardStatus.REFUSED
            return Reply(status, signer=request.signer)
        with self._lock:
            of_signer = self._num_uploads[request.signer]
            if self._num_uploads.total() >= self._max_uploads or of_signer >= max(1, self._max_uploads // 2):
                return Reply(ShardStatus.BUSY, signer=request.signer)
            self._num_uploads[request.signer] += 1
        return Reply(ShardStatus.AVAILABLE, path, request.offset, num_bytes, request.signer)
