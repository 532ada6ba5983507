"""The files that are still missing: which to try next, and when.

A job counts the failures at the Hub and the time that peers have asked for, and says when to try again. The queue looks
a few files ahead, so that a file that must wait does not hold up the next ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from paris.node.fetching.peers import Outcome
from paris.node.hub.file import Wanted

_FILES_AHEAD = 4
"""For each parallel download: how many files beyond the first missing one may be tried."""
_ASK_AGAIN_S, _ASK_AGAIN_CAP_S = 0.5, 10.0
_FAILURES_BEFORE_PEERS = 3
"""In a row at the Hub; then peers get the full patience again."""
_PROMISE_S = 600.0
"""How long a peer may promise a file before it is left alone for a while."""


@dataclass
class Job:
    """One missing file: what was tried, and when to try again."""

    wanted: Wanted
    failures: int = 0
    """In a row at the Hub without a new byte."""
    best_bytes: int = -1
    had_wrong_hash: bool = False
    until: float = math.inf
    """When patience with peers ends; infinite while the file is not needed soon."""
    patience_s: float = math.inf
    waits_since: float | None = None
    """When peers first asked this node to wait."""
    wait_s: float = 0.0
    """How long to wait before the next try."""
    not_before: float = -math.inf

    @property
    def is_urgent(self) -> bool:
        """Whether the file is needed soon."""
        return self.until < math.inf

    def hurry(self, now: float, patience_s: float) -> None:
        """Mark the file as needed soon: peers have `patience_s`, and the next try need not wait."""
        self.until, self.patience_s = now + patience_s, patience_s
        self.not_before = min(self.not_before, now)

    def wait_for_peers(self, now: float, lose_patience: Callable[[str], None]) -> Outcome:
        """Peers asked this node to wait: do so while patience lasts, then use the Hub.

        Args:
            now: On the same clock as `until`.
            lose_patience: Called with the file's hash when peers have promised it for too long.
        """
        if self.waits_since is None:
            self.waits_since = now
        waited_s = now - self.waits_since
        if now >= self.until:
            return "hub"
        if waited_s >= _PROMISE_S:
            lose_patience(self.wanted.sha256)
            self.waits_since = None
        self.wait_s = min(_ASK_AGAIN_CAP_S, _ASK_AGAIN_S + waited_s / 4, self.until - now)
        return "wait"

    def count_failure(self, num_bytes: int) -> None:
        """Count a failure at the Hub; progress since the last one resets the count.

        Args:
            num_bytes: Size of the part on disk.
        """
        self.failures = 1 if num_bytes > self.best_bytes else self.failures + 1
        self.best_bytes = max(self.best_bytes, num_bytes)

    def wait_for_hub(self, wait_s: float, now: float) -> None:
        """Try again after `wait_s`; an urgent file returns to the peers after some failures."""
        self.wait_s = wait_s
        if self.failures % _FAILURES_BEFORE_PEERS == 0 and self.is_urgent:
            self.until = now + wait_s + self.patience_s


class FetchQueue:
    """The missing files, each by its index in the order in which they are needed.

    Args:
        files: In that order.
        parallel: Files at the same time.
    """

    def __init__(self, files: Sequence[Wanted], parallel: int) -> None:
        self._waiting = {index: Job(wanted) for index, wanted in enumerate(files)}
        self._num_ahead = _FILES_AHEAD * parallel

    def __len__(self) -> int:
        return len(self._waiting)

    def __getitem__(self, index: int) -> Job:
        return self._waiting[index]

    def remove(self, index: int) -> None:
        """Drop a file that is in the cache."""
        del self._waiting[index]

    def hurry(self, num_urgent: int, now: float, patience_s: float) -> None:
        """Mark the first `num_urgent` files as needed soon; those marked before keep their time."""
        for index, job in self._waiting.items():
            if index < num_urgent and not job.is_urgent:
                job.hurry(now, patience_s)

    def due(self, now: float, busy: Collection[int], awaited_by_others: Collection[str]) -> list[int]:
        """Indices to try now, the most important first, however many may run.

        Order: urgent files; files that other volunteers wait for, wherever they are in this node's order; the other
        files ahead. The second group prevents a deadlock: two volunteers with different orders that each announced
        "I fetch this one" would otherwise wait for each other. Only files ahead count for the rest, so that all
        volunteers of a cluster move along the same order together.

        Args:
            now: On the clock of the jobs.
            busy: Indices that are being tried.
            awaited_by_others: Hashes of files.
        """
        ahead = self._ahead()
        urgent = [index for index, job in ahead.items() if job.is_urgent]
        awaited = [index for index, job in self._waiting.items() if job.wanted.sha256 in awaited_by_others]
        order = dict.fromkeys([*urgent, *awaited, *ahead])
        return [index for index in order if index not in busy and self._waiting[index].not_before <= now]

    def is_any_urgent(self, indices: Iterable[int]) -> bool:
        """Whether one of these files is needed soon."""
        return any(self._waiting[index].is_urgent for index in indices)

    def next_at(self) -> float:
        """When the next of the files ahead may be tried."""
        return min(job.not_before for job in self._ahead().values())

    def _ahead(self) -> dict[int, Job]:
        return dict(islice(self._waiting.items(), self._num_ahead))
