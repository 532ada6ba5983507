"""Many files, the first needed first, several at once. Which file is next, and when: `queue.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from paris.node.errors import StoppedError
from paris.node.fetching.download import Downloader, MakeWayError, Source
from paris.node.fetching.queue import FetchQueue, Job
from paris.node.hub.file import Wanted

_logger = logging.getLogger(__name__)
_POLL_S = 0.5
PATIENCE_S = 120.0
"""How long peers may delay a file that is needed soon, at most; then it comes from the Hub."""


class Fetcher:
    """Fetches lists of files.

    Args:
        downloader: Fetches each.
        parallel: Files at the same time.
        patience_s: How long peers may delay a file that is needed soon.
    """

    def __init__(self, downloader: Downloader, *, parallel: int = 4, patience_s: float = PATIENCE_S) -> None:
        self.downloader, self.parallel, self.patience_s = downloader, parallel, patience_s
        self._is_cancelled = False
        self._is_crowded = False
        """Whether an urgent file waits for a free download."""

    def fetch_all(
        self,
        files: Sequence[Wanted],
        on_ready: Callable[[int, Path], None],
        check: Callable[[], None],
        num_urgent: Callable[[], int] | None = None,
    ) -> None:
        """Fetch files; one that must wait lets the next ones pass.

        Args:
            files: In the order in which they are needed.
            on_ready: Called in the calling thread with the index in `files` and the verified path.
            check: Called in the calling thread about twice a second; what it raises ends the fetch.
            num_urgent: Called as often; how many of the first files are needed soon. None: all.

        Raises:
            WrongHashError: A file has other content than signed, twice.
            HubRefusedError: The Hub rejected a request permanently.
            HubUnreachableError: Too many tries without progress.
            DiskFullError: No room. Parts stay, so that the next call continues.
        """
        downloader = self.downloader
        downloader.cache.make_room(self._missing_bytes(files), {wanted.sha256 for wanted in files})
        self._is_cancelled = False
        queue = FetchQueue(files, self.parallel)
        running: dict[Future[Path | None], int] = {}
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="fetch") as pool:
            try:
                while queue:
                    num = len(files) if num_urgent is None else num_urgent()
                    queue.hurry(num, downloader.clock(), self.patience_s)
                    for index in self._due(queue, running.values()):
                        running[pool.submit(downloader.attempt, queue[index], self._check_piece)] = index
                    for future in self._done(running, queue):
                        index = running.pop(future)
                        if (path := future.result()) is not None:
                            queue.remove(index)
                            on_ready(index, path)
                    check()
            except BaseException as error:
                _logger.info("Fetch ended with %d of %d files missing: %s", len(queue), len(files), error)
                self._is_cancelled = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                downloader.peers.finish()

    def _due(self, queue: FetchQueue, busy: Collection[int]) -> list[int]:
        """Indices to try now, at most as many as may run."""
        due = queue.due(self.downloader.clock(), busy, self.downloader.peers.awaited_by_others())
        num_free = self.parallel - len(busy)
        self._is_crowded = queue.is_any_urgent(due[num_free:])
        return due[:num_free]

    def _done(self, running: dict[Future[Path | None], int], queue: FetchQueue) -> list[Future[Path | None]]:
        """Wait a moment for attempts to end; empty while every file waits for its time."""
        if running:
            return sorted(wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED).done, key=running.__getitem__)
        self.downloader.pause(min(_POLL_S, max(0.0, queue.next_at() - self.downloader.clock())))
        return []

    def _check_piece(self, job: Job, source: Source) -> None:
        """End a download that was cancelled, or one from a peer whose place an urgent file needs."""
        if self._is_cancelled:
            raise StoppedError("Stopped.")
        if source == "peer" and self._is_crowded and not job.is_urgent:
            raise MakeWayError

    def _missing_bytes(self, files: Sequence[Wanted]) -> int:
        cache, missing = self.downloader.cache, 0
        for wanted in files:
            if not cache.file(wanted.sha256).exists():
                parts = (cache.part(wanted.sha256), cache.peer_part(wanted.sha256))
                missing += max(0, wanted.num_bytes - max(path.stat().st_size if path.exists() else 0 for path in parts))
        return missing
