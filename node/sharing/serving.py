"""Answers questions for shards: to volunteers with a lease of this run, within the volunteer's own limits."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.sharing.inventory import ShardBoard
from paris.node.sharing.members import Members
from paris.protocol.errors import ParisError
from paris.protocol.shard_request import Reply, ShardRequest, ShardStatus, open_request


class ShardHost:
    """The serving end of one DHT peer (`paris.protocol.shard_request.ShardServer`).

    Args:
        board: What is here.
        members: Who may ask.
        run_id: The run.
        peer_id: Of the DHT peer that is asked, base58.
        upload: The volunteer's limit.
        max_uploads: Shards sent at the same time; to one volunteer half as many.
        clock: UTC seconds.
    """

    def __init__(
        self,
        board: ShardBoard,
        members: Members,
        *,
        run_id: str,
        peer_id: str,
        upload: Bandwidth,
        max_uploads: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._board, self._members = board, members
        self._run_id, self._peer_id = run_id, peer_id
        self._upload, self._max_uploads = upload, max_uploads
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()

    def answer(self, question: bytes) -> Reply:
        """What to say to a question; whatever is wrong with it is refused without a reason."""
        try:
            request = open_request(question, run_id=self._run_id, me=self._peer_id, now=self._clock())
        except ParisError:
            return Reply(ShardStatus.REFUSED)
        if not self._members.has_lease(request.signer):
            return Reply(ShardStatus.REFUSED)
        status = self._board.status(request.sha256)
        return self._take_place(request) if status is ShardStatus.HERE else Reply(status)

    def pace(self, num_bytes: int) -> float:
        """Seconds to wait before so many bytes are sent."""
        return self._upload.wait_s(num_bytes)

    def release(self, reply: Reply) -> None:
        """Give a place back."""
        if reply.path is not None:
            with self._lock:
                self._under_way[reply.signer] -= 1

    def _take_place(self, request: ShardRequest) -> Reply:
        path = self._board.path(request.sha256)
        left = self._board.num_bytes(request.sha256) - request.offset
        if path is None or left <= 0:
            return Reply(ShardStatus.ABSENT if path is None else ShardStatus.REFUSED)
        with self._lock:
            of_signer = self._under_way[request.signer]
            if self._under_way.total() >= self._max_uploads or of_signer >= max(1, self._max_uploads // 2):
                return Reply(ShardStatus.BUSY)
            self._under_way[request.signer] += 1
        return Reply(ShardStatus.HERE, path, request.offset, left, request.signer)
