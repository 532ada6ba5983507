"""Resumable, verified downloads: a `.part` file that grows by ranged requests until its hash is right.

Other volunteers are asked first, where they share. Transient trouble of the Hub is waited out with a bounded back-off;
progress resets the count. A wrong hash is fetched again once and then refused: the Hub serves something else than the
coordinator signed.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from paris.node.bandwidth import Bandwidth
from paris.node.cache import Cache, file_sha256
from paris.node.errors import (
    HubUnreachableError,
    StoppedError,
    TransientHubError,
    WrongHashError,
    disk_full,
    is_disk_full,
)
from paris.node.hub import Hub
from paris.node.hub_file import Wanted, append_from_hub
from paris.node.retry import Backoff, Wait

_PIECE_BYTES = 2**18
_LOOK_S = 0.5
_FILES_AHEAD = 4
"""For each download at a time: how far beyond the first missing file to look while it waits."""
_ASK_AGAIN_S, _ASK_AGAIN_MOST_S = 0.5, 10.0
_PATIENCE_S = 120.0
"""With peers that say they will have a file; after that it comes from the Hub whatever they say."""
Outcome = Literal["taken", "wait", "hub"]
"""In the cache now; to be asked for again; to be had from the Hub."""


class Peers(Protocol):
    """Other volunteers as a source, asked before the Hub (`paris.node.sharing.taking.Taking`)."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None]) -> Outcome:
        """Take a file from a peer, which `on_bytes` is told piece by piece."""

    def lose_patience(self, sha256: str) -> None:
        """Waiting for a file has lasted too long."""

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """While this node gets a file from the Hub."""

    def want_no_more(self) -> None:
        """Nothing more is going to be fetched."""


class _NoPeers:
    """The Hub alone."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None]) -> Outcome:
        return "hub"

    def lose_patience(self, sha256: str) -> None:
        pass

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def want_no_more(self) -> None:
        pass


@dataclass
class _Job:
    """One file on its way: what was tried, and when to try again."""

    wanted: Wanted
    failures: int = 0
    best_bytes: int = -1
    was_wrong: bool = False
    waits_since: float | None = None
    """Since when peers ask for patience."""
    wait_s: float = 0.0
    """How long to wait before the next try."""
    not_before: float = -math.inf


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
        clock: Seconds that only ever grow.
    """

    hub: Hub
    cache: Cache
    pause: Wait
    parallel: int = 4
    max_tries: int = 8
    backoff: Backoff = field(default_factory=Backoff)
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    peers: Peers = field(default_factory=_NoPeers)
    clock: Callable[[], float] = time.monotonic
    bytes_received: int = 0
    """Body bytes read from the Hub so far, by all downloads of this object."""
    bytes_from_peers: int = 0
    """Bytes read from other volunteers so far."""
    _is_cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch_all(
        self, files: Sequence[Wanted], on_ready: Callable[[int, Path], None], check: Callable[[], None]
    ) -> None:
        """Fetch files, the first ones first, several at once; one that must wait lets the next ones pass.

        Args:
            files: In the order in which they are needed.
            on_ready: Called in the calling thread with the index in `files` and the verified path.
            check: Called in the calling thread about twice a second; what it raises ends the fetch.

        Raises:
            WrongHashError: A file has other content than signed, twice.
            HubRefusedError: The Hub will never give it.
            HubUnreachableError: The Hub could not be reached for too long.
            DiskFullError: No room. Parts stay, so that the next call goes on.
        """
        self.cache.make_room(self._missing_bytes(files), {wanted.sha256 for wanted in files})
        self._is_cancelled = False
        waiting = {index: _Job(wanted) for index, wanted in enumerate(files)}
        running: dict[Future[Path | None], int] = {}
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="fetch") as pool:
            try:
                while waiting:
                    for index in self._due(waiting, running.values()):
                        running[pool.submit(self._attempt, waiting[index])] = index
                    for future in self._done(running, waiting):
                        index = running.pop(future)
                        if (path := future.result()) is not None:
                            del waiting[index]
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
        job = _Job(wanted)
        while (path := self._attempt(job)) is None:
            if job.wait_s > 0:
                self.pause(job.wait_s)
        return path

    def _due(self, waiting: dict[int, _Job], busy: Collection[int]) -> list[int]:
        """What to try now: of the files ahead, so that all who share them move along the same order together."""
        now, ahead = self.clock(), islice(waiting.items(), _FILES_AHEAD * self.parallel)
        due = [index for index, job in ahead if index not in busy and job.not_before <= now]
        return due[: self.parallel - len(busy)]

    def _done(self, running: dict[Future[Path | None], int], waiting: dict[int, _Job]) -> list[Future[Path | None]]:
        """What has ended, after waiting a moment for it; nothing where all files wait for their time."""
        if running:
            return sorted(wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done, key=running.__getitem__)
        next_at = min(job.not_before for job in waiting.values())
        self.pause(min(_LOOK_S, max(0.0, next_at - self.clock())))
        return []

    def _attempt(self, job: _Job) -> Path | None:
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
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(f"fetching {wanted.path}", self.cache.path) from error
            raise
        job.not_before = self.clock() + job.wait_s
        return path

    def _ask_peers(self, job: _Job) -> Outcome:
        """What the peers say, as long as patience with them lasts."""
        outcome = self.peers.try_take(job.wanted, self._took_from_peer)
        if outcome != "wait":
            return outcome
        if job.waits_since is None:
            job.waits_since = self.clock()
        waited_s = self.clock() - job.waits_since
        job.wait_s = min(_ASK_AGAIN_MOST_S, _ASK_AGAIN_S + waited_s / 4)
        if waited_s < _PATIENCE_S:
            return "wait"
        self.peers.lose_patience(job.wanted.sha256)
        return "hub"

    def _from_hub(self, job: _Job) -> Path | None:
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

    def _count_failure(self, job: _Job, part: Path, error: TransientHubError) -> None:
        size = part.stat().st_size if part.exists() else 0
        job.failures = 1 if size > job.best_bytes else job.failures + 1
        job.best_bytes = max(job.best_bytes, size)
        if job.failures >= self.max_tries:
            raise HubUnreachableError(
                f"{job.wanted.path} could not be fetched, {job.failures} tries without progress. Last: {error.what}",
                "Check the network and the run's Hub; run the same command again to go on.",
            ) from error
        job.wait_s = self.backoff.wait_s(job.failures, error.retry_after_s)

    def _took_from_hub(self, num_bytes: int) -> None:
        with self._lock:
            self.bytes_received += num_bytes
        self._pace(num_bytes)

    def _took_from_peer(self, num_bytes: int) -> None:
        with self._lock:
            self.bytes_from_peers += num_bytes
        self._pace(num_bytes)

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
