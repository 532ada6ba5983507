"""Resumable, verified downloads: a `.part` file that grows by ranged requests until its hash is right.

Transient trouble is waited out with a bounded back-off; progress resets the count. A wrong hash is fetched again
once and then refused: the source serves something else than the coordinator signed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paris.node.cache import Cache, file_sha256
from paris.node.errors import (
    HubUnreachableError,
    StoppedError,
    TransientHubError,
    WrongHashError,
    disk_full,
    is_disk_full,
)
from paris.node.hub import Hub, translated
from paris.node.retry import Backoff, Wait

_PIECE_BYTES = 2**18


@dataclass(frozen=True)
class Wanted:
    """One file of a Hub repo at a pinned revision, with the content that was signed for it."""

    repo: str
    revision: str
    path: str
    sha256: str
    num_bytes: int
    repo_type: str = "dataset"


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
    """

    hub: Hub
    cache: Cache
    pause: Wait
    parallel: int = 4
    max_tries: int = 8
    backoff: Backoff = field(default_factory=Backoff)
    bytes_received: int = 0
    """Body bytes read so far, by all downloads of this object."""
    _is_cancelled: bool = False

    def fetch_all(
        self, files: Sequence[Wanted], on_ready: Callable[[int, Path], None], check: Callable[[], None]
    ) -> None:
        """Fetch files, the first ones first, several at once.

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
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="fetch") as pool:
            pending: dict[Future[Path], int] = {pool.submit(self.fetch, wanted): i for i, wanted in enumerate(files)}
            try:
                while pending:
                    done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in sorted(done, key=pending.__getitem__):
                        on_ready(pending.pop(future), future.result())
                    check()
            except BaseException:
                self._is_cancelled = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def fetch(self, wanted: Wanted) -> Path:
        """One file, from the cache if it is there.

        Raises:
            As `fetch_all`.
        """
        for _ in range(2):
            cached = self.cache.find(wanted.sha256, wanted.num_bytes)
            if cached is not None:
                return cached
            part = self.cache.part(wanted.sha256)
            self._fill(wanted, part)
            if part.stat().st_size == wanted.num_bytes and file_sha256(part) == wanted.sha256:
                part.replace(self.cache.file(wanted.sha256))
                return self.cache.file(wanted.sha256)
            part.unlink()
        raise WrongHashError(
            f"{wanted.path} of {wanted.repo} arrived twice with other content than its manifest signs "
            f"(sha256 {wanted.sha256[:12]}..., {wanted.num_bytes} bytes).",
            "Tell the organiser: the data repo was changed after it was published.",
        )

    def _fill(self, wanted: Wanted, part: Path) -> None:
        failures, best = 0, -1
        while True:
            try:
                self._request(wanted, part)
                return
            except TransientHubError as error:
                size = part.stat().st_size if part.exists() else 0
                failures = 1 if size > best else failures + 1
                best = max(best, size)
                if failures >= self.max_tries:
                    raise HubUnreachableError(
                        f"{wanted.path} could not be fetched, {failures} tries without progress. Last: {error.what}",
                        "Check the network and the run's Hub; run the same command again to go on.",
                    ) from error
                self.pause(self.backoff.wait_s(failures, error.retry_after_s))
            except OSError as error:
                if is_disk_full(error):
                    raise disk_full(f"fetching {wanted.path}", self.cache.path) from error
                raise

    def _request(self, wanted: Wanted, part: Path) -> None:
        """One ranged request that appends to the part file; returns when the body ended well, whatever its content."""
        offset = part.stat().st_size if part.exists() else 0
        if offset >= wanted.num_bytes > 0:
            return
        url = self.hub.url(wanted.repo, wanted.path, repo_type=wanted.repo_type, revision=wanted.revision)
        with self.hub.stream(url, offset) as response:
            if response.status_code == 416 or (response.status_code == 206 and _range_start(response) != offset):
                part.unlink(missing_ok=True)
                raise TransientHubError(f"GET {url}: the Hub does not serve from byte {offset}; starting over.")
            keep = offset if response.status_code == 206 else 0
            with part.open("ab") as file:
                file.truncate(keep)
                self._copy(response, file, wanted.num_bytes - keep, url)

    def _copy(self, response: Any, file: Any, num_bytes: int, url: str) -> None:
        """Copy at most one byte more than signed (the hash then fails): an endless body never fills the disk."""
        left = num_bytes + 1
        with translated(f"GET {url}"):
            for piece in response.iter_raw(_PIECE_BYTES):
                if self._is_cancelled:
                    raise StoppedError("Stopped.")
                file.write(piece[:left])
                self.bytes_received += len(piece)
                left -= len(piece)
                if left <= 0:
                    break
        file.flush()
        os.fsync(file.fileno())
        if left > 1:
            raise TransientHubError(f"GET {url}: the answer ended {left - 1} bytes early.")

    def _missing_bytes(self, files: Sequence[Wanted]) -> int:
        missing = 0
        for wanted in files:
            if not self.cache.file(wanted.sha256).exists():
                part = self.cache.part(wanted.sha256)
                missing += max(0, wanted.num_bytes - (part.stat().st_size if part.exists() else 0))
        return missing


def _range_start(response: Any) -> int | None:
    """First byte named by Content-Range, None where it cannot be read."""
    value = response.headers.get("Content-Range", "")
    start = value.removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdigit() else None
