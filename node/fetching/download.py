"""One file into the cache, verified: a `.part` file that grows by ranged requests until its hash is right.

Peers are asked before the Hub: for an urgent file while patience lasts, for other files until they become urgent.
Transient Hub errors are retried with a bounded back-off, for hours if need be; progress resets the count. A wrong hash
is fetched once more and then refused: the Hub serves something else than the coordinator signed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from paris.experts.files import file_sha256
from paris.node.errors import HubUnreachableError, TransientHubError, WrongHashError, disk_full, is_disk_full
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.fetching.peers import NoPeers, Outcome, Peers
from paris.node.fetching.queue import Job
from paris.node.hub.client import Hub
from paris.node.hub.file import Wanted, append_from_hub
from paris.node.retry import Backoff, Wait

_logger = logging.getLogger(__name__)
_PIECE_BYTES = 2**18
_REPORT_EVERY_S = 30.0

Source = Literal["hub", "peer"]
OnPiece = Callable[[Job, Source], None]
"""Called in the downloading thread after each piece; raises to end the download, whose part stays."""


class MakeWayError(Exception):
    """A download ends here so that a more urgent one takes its place; its part stays."""


class Downloader:
    """Downloads single files into the cache. Safe to use from several threads.

    Args:
        hub: The run's Hub.
        cache: Receives the files.
        pause: Waits, or raises StoppedError.
        max_tries: Failures in a row without a new byte before giving up; None: wait for the Hub, hours if need be.
        backoff: Times between tries.
        bandwidth: The limit of all downloads together.
        peers: Asked before the Hub.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        hub: Hub,
        cache: Cache,
        pause: Wait,
        *,
        max_tries: int | None = None,
        backoff: Backoff | None = None,
        bandwidth: Bandwidth | None = None,
        peers: Peers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hub, self.cache, self.pause, self.clock = hub, cache, pause, clock
        self.max_tries = max_tries
        self.backoff = backoff or Backoff()
        self.bandwidth = bandwidth or Bandwidth()
        self.peers: Peers = peers or NoPeers()
        self.bytes_from_hub = 0
        """Body bytes read from the Hub so far."""
        self.bytes_from_peers = 0
        """Bytes read from other volunteers so far."""
        self._lock = threading.Lock()
        self.on_retry: Callable[[TransientHubError, float], None] = lambda error, wait_s: None
        """Called in a downloading thread with the error and the seconds until the next try, at most once in half a
        minute for all files together."""
        self._next_report_at = -math.inf

    def fetch(self, wanted: Wanted, on_piece: Callable[[], None] = lambda: None) -> Path:
        """Fetch one file, or find it in the cache.

        Args:
            wanted: The file.
            on_piece: Called after each piece; may raise to end the download, whose part stays.

        Raises:
            WrongHashError: The file has other content than signed, twice.
            HubRefusedError: The Hub rejected the request permanently.
            HubUnreachableError: Too many tries without progress.
            DiskFullError: No room. The part stays, so that the next call continues.
        """
        job = Job(wanted)
        while (path := self.attempt(job, lambda job, source: on_piece())) is None:
            if job.wait_s > 0:
                self.pause(job.wait_s)
        return path

    def attempt(self, job: Job, on_piece: OnPiece) -> Path | None:
        """Try once: the cache, then peers, then the Hub.

        Returns:
            The verified file; None to try again after `job.wait_s`.

        Raises:
            As `fetch`.
        """
        wanted, job.wait_s = job.wanted, 0.0
        try:
            path = self.cache.find(wanted.sha256, wanted.num_bytes)
            outcome = "cached" if path is not None else self._ask_peers(job, on_piece)
            if outcome == "taken":
                path = self.cache.file(wanted.sha256)
            elif outcome == "hub":
                with self.peers.fetching(wanted.sha256):
                    path = self._ask_hub(job, on_piece)
        except MakeWayError:
            return None
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(f"fetching {wanted.path}", self.cache.path) from error
            raise
        _logger.debug("%s: %s, next try in %.1f s.", wanted.path, "here" if path else outcome, job.wait_s)
        job.not_before = self.clock() + job.wait_s
        return path

    def _ask_peers(self, job: Job, on_piece: OnPiece) -> Outcome:
        on_bytes = partial(self._count, job, "peer", on_piece)
        outcome = self.peers.try_take(job.wanted, on_bytes, lambda: job.until - self.clock())
        return job.wait_for_peers(self.clock(), self.peers.lose_patience) if outcome == "wait" else outcome

    def _ask_hub(self, job: Job, on_piece: OnPiece) -> Path | None:
        """One request; the verified file, or None to try again."""
        wanted, part = job.wanted, self.cache.part(job.wanted.sha256)
        on_bytes = partial(self._count, job, "hub", on_piece)
        try:
            append_from_hub(self.hub, wanted, part, on_bytes, self.bandwidth.piece_bytes(_PIECE_BYTES))
        except TransientHubError as error:
            self._count_failure(job, part, error)
            return None
        job.failures = 0
        if part.stat().st_size == wanted.num_bytes and file_sha256(part) == wanted.sha256:
            return self.cache.put(part, wanted.sha256)
        part.unlink()
        if job.had_wrong_hash:
            raise WrongHashError(
                f"{wanted.path} of {wanted.repo} arrived twice with other content than the run signs for it "
                f"(sha256 {wanted.sha256[:12]}..., {wanted.num_bytes} bytes).",
                "Tell the organiser: the repo was changed after it was published.",
            )
        _logger.info("%s has a wrong hash; fetching it again.", wanted.path)
        job.had_wrong_hash = True
        return None

    def _count_failure(self, job: Job, part: Path, error: TransientHubError) -> None:
        job.count_failure(part.stat().st_size if part.exists() else 0)
        _logger.info("%s: failure %d in a row: %s", job.wanted.path, job.failures, error.what)
        if self.max_tries is not None and job.failures >= self.max_tries:
            raise HubUnreachableError(
                f"{job.wanted.path} could not be fetched, {job.failures} tries without progress. Last: {error.what}",
                "Check the network and the run's Hub; run the same command again to continue.",
            ) from error
        job.wait_for_hub(self.backoff.wait_s(job.failures, error.retry_after_s), self.clock())
        with self._lock:
            is_due = self.clock() >= self._next_report_at
            if is_due:
                self._next_report_at = self.clock() + _REPORT_EVERY_S
        if is_due:
            self.on_retry(error, job.wait_s)

    def _count(self, job: Job, source: Source, on_piece: OnPiece, num_bytes: int) -> None:
        """Count a piece and keep the bandwidth limit."""
        with self._lock:
            if source == "hub":
                self.bytes_from_hub += num_bytes
            else:
                self.bytes_from_peers += num_bytes
        wait_s = self.bandwidth.wait_s(num_bytes)
        if wait_s > 0:
            self.pause(wait_s)
        on_piece(job, source)
