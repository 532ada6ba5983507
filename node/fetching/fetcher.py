"""Resumable, verified downloads: a `.part` file that grows by ranged requests until its hash is right.

Other volunteers are asked first, where they share: for a file that is needed soon as long as patience lasts, for others
until they are needed soon. Transient trouble of the Hub is waited out with a bounded back-off; progress resets the
count. A wrong hash is fetched again once and then refused: the Hub serves something else than the coordinator signed.
Which file is next, and when, is for `fetch_queue.py` to say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from paris.experts.files import file_sha256
from paris.node.errors import (
    HubUnreachableError,
    StoppedError,
    TransientHubError,
    WrongHashError,
    disk_full,
    is_disk_full,
)
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.fetching.peers import NoPeers, Outcome, Peers
from paris.node.fetching.queue import FetchQueue, Job
from paris.node.hub.client import Hub
from paris.node.hub.file import Wanted, append_from_hub
from paris.node.retry import Backoff, Wait

_PIECE_BYTES = 2**18
_LOOK_S = 0.5
PATIENCE_S = 120.0
"""At most, with peers for a file that is needed soon; after that it comes from the Hub whatever they say."""


class _MakeWayError(Exception):
    """A download without hurry ends here, so that one that is needed soon takes its place; its part stays."""


@dataclass
class Fetcher:
    """Downloads into the cache.

    Args:
        hub: Where from.
        cache: Where to.
        pause: Waits, or raises StoppedError.
        parallel: Files at the same time.
        max_tries: Failures in a row without a new byte before giving up.
        backoff: Times between tries.
        bandwidth: The limit of all downloads together.
        peers: Asked before the Hub.
        patience_s: How long peers may take over a file that is needed soon.
        clock: Seconds that only ever grow.
    """

    hub: Hub
    cache: Cache
    pause: Wait
    parallel: int = 4
    max_tries: int = 8
    backoff: Backoff = field(default_factory=Backoff)
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    peers: Peers = field(default_factory=NoPeers)
    patience_s: float = PATIENCE_S
    clock: Callable[[], float] = time.monotonic
    bytes_received: int = 0
    """Body bytes read from the Hub so far, by all downloads of this object."""
    bytes_from_peers: int = 0
    """Bytes read from other volunteers so far."""
    _is_cancelled: bool = False
    _is_crowded: bool = False
    """Whether a file that is needed soon finds no place."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch_all(
        self,
        files: Sequence[Wanted],
        on_ready: Callable[[int, Path], None],
        check: Callable[[], None],
        num_urgent: Callable[[], int] | None = None,
    ) -> None:
        """Fetch files, the first ones first, several at once; one that must wait lets the next ones pass.

        Args:
            files: In the order in which they are needed.
            on_ready: Called in the calling thread with the index in `files` and the verified path.
            check: Called in the calling thread about twice a second; what it raises ends the fetch.
            num_urgent: How many of the files are needed soon, the first ones; asked as often. None means all.

        Raises:
            WrongHashError: A file has other content than signed, twice.
            HubRefusedError: The Hub will never give it.
            HubUnreachableError: The Hub could not be reached for too long.
            DiskFullError: No room. Parts stay, so that the next call goes on.
        """
        self.cache.make_room(self._missing_bytes(files), {wanted.sha256 for wanted in files})
        self._is_cancelled = False
        queue = FetchQueue(files, self.parallel)
        running: dict[Future[Path | None], int] = {}
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="fetch") as pool:
            try:
                while queue:
                    queue.hurry(len(files) if num_urgent is None else num_urgent(), self.clock(), self.patience_s)
                    for index in self._due(queue, running.values()):
                        running[pool.submit(self._attempt, queue[index])] = index
                    for future in self._done(running, queue):
                        index = running.pop(future)
                        if (path := future.result()) is not None:
                            queue.remove(index)
                            on_ready(index, path)
                    check()
            except BaseException:
                self._is_cancelled = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                self.peers.want_no_more()

    def fetch(self, wanted: Wanted) -> Path:
        """One file, from the cache if it is there.

        Raises:
            As `fetch_all`.
        """
        job = Job(wanted)
        while (path := self._attempt(job)) is None:
            if job.wait_s > 0:
                self.pause(job.wait_s)
        return path

    def _due(self, queue: FetchQueue, busy: Collection[int]) -> list[int]:
        """What to try now, as much as there is room for."""
        due = queue.due(self.clock(), busy, self.peers.asked_for())
        free = self.parallel - len(busy)
        self._is_crowded = queue.is_any_urgent(due[free:])
        return due[:free]

    def _done(self, running: dict[Future[Path | None], int], queue: FetchQueue) -> list[Future[Path | None]]:
        """What has ended, after waiting a moment for it; nothing where all files wait for their time."""
        if running:
            return sorted(wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done, key=running.__getitem__)
        self.pause(min(_LOOK_S, max(0.0, queue.next_at() - self.clock())))
        return []

    def _attempt(self, job: Job) -> Path | None:
        """Try once: the cache, then peers, then the Hub. None: try again after `job.wait_s`."""
        wanted, job.wait_s = job.wanted, 0.0
        try:
            path = self.cache.find(wanted.sha256, wanted.num_bytes)
            outcome = "here" if path is not None else self._ask_peers(job)
            if outcome == "taken":
                path = self.cache.file(wanted.sha256)
            elif outcome == "hub":
                with self.peers.fetching(wanted.sha256):
                    path = self._from_hub(job)
        except _MakeWayError:
            return None
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(f"fetching {wanted.path}", self.cache.path) from error
            raise
        job.not_before = self.clock() + job.wait_s
        return path

    def _ask_peers(self, job: Job) -> Outcome:
        """What the peers say, as long as patience with them lasts."""
        outcome = self.peers.try_take(job.wanted, partial(self._took_from_peer, job), lambda: job.until - self.clock())
        return job.wait_for_peers(self.clock(), self.peers.lose_patience) if outcome == "wait" else outcome

    def _from_hub(self, job: Job) -> Path | None:
        """One request; the verified file, or None when another is worth trying."""
        wanted, part = job.wanted, self.cache.part(job.wanted.sha256)
        try:
            append_from_hub(self.hub, wanted, part, self._took_from_hub, self.bandwidth.piece_bytes(_PIECE_BYTES))
        except TransientHubError as error:
            self._count_failure(job, part, error)
            return None
        job.failures = 0
        if part.stat().st_size == wanted.num_bytes and file_sha256(part) == wanted.sha256:
            return self.cache.put(part, wanted.sha256)
        part.unlink()
        if job.was_wrong:
            raise WrongHashError(
                f"{wanted.path} of {wanted.repo} arrived twice with other content than its manifest signs "
                f"(sha256 {wanted.sha256[:12]}..., {wanted.num_bytes} bytes).",
                "Tell the organiser: the data repo was changed after it was published.",
            )
        job.was_wrong = True
        return None

    def _count_failure(self, job: Job, part: Path, error: TransientHubError) -> None:
        job.count_failure(part.stat().st_size if part.exists() else 0)
        if job.failures >= self.max_tries:
            raise HubUnreachableError(
                f"{job.wanted.path} could not be fetched, {job.failures} tries without progress. Last: {error.what}",
                "Check the network and the run's Hub; run the same command again to go on.",
            ) from error
        job.wait_for_hub(self.backoff.wait_s(job.failures, error.retry_after_s), self.clock(), self.patience_s)

    def _took_from_hub(self, num_bytes: int) -> None:
        with self._lock:
            self.bytes_received += num_bytes
        self._pace(num_bytes)

    def _took_from_peer(self, job: Job, num_bytes: int) -> None:
        with self._lock:
            self.bytes_from_peers += num_bytes
        self._pace(num_bytes)
        if self._is_crowded and not job.is_urgent:
            raise _MakeWayError

    def _pace(self, num_bytes: int) -> None:
        """Keep the limit, and end what was cancelled."""
        wait_s = self.bandwidth.wait_s(num_bytes)
        if wait_s > 0:
            self.pause(wait_s)
        if self._is_cancelled:
            raise StoppedError("Stopped.")

    def _missing_bytes(self, files: Sequence[Wanted]) -> int:
        missing = 0
        for wanted in files:
            if not self.cache.file(wanted.sha256).exists():
                parts = (self.cache.part(wanted.sha256), self.cache.peer_part(wanted.sha256))
                missing += max(0, wanted.num_bytes - max(path.stat().st_size if path.exists() else 0 for path in parts))
        return missing
