"""Files that are still to come: which to try next, and when.

Nothing is fetched here. A file counts its failures at the Hub and its patience with peers, and says when to try again;
the queue looks some files ahead, so that one that must wait lets the next ones pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from paris.node.fetching.peers import Outcome
from paris.node.hub.file import Wanted

_FILES_AHEAD = 4
"""For each download at a time: how far beyond the first missing file to look while it waits."""
_ASK_AGAIN_S, _ASK_AGAIN_MOST_S = 0.5, 10.0
_FAILURES_BEFORE_PEERS = 3
"""In a row at the Hub: then peers get as much patience again."""
_PROMISE_S = 600.0
"""In which peers that say they will have a file should have it; whoever has not is left alone for a while."""


@dataclass
class Job:
    """One file on its way: what was tried, and when to try again."""

    wanted: Wanted
    failures: int = 0
    best_bytes: int = -1
    was_wrong: bool = False
    until: float = math.inf
    """When patience with peers ends; infinite while the file is not needed soon."""
    waits_since: float | None = None
    """Since when peers ask for patience."""
    wait_s: float = 0.0
    """How long to wait before the next try."""
    not_before: float = -math.inf

    @property
    def is_urgent(self) -> bool:
        """Whether the file is needed soon."""
        return self.until < math.inf

    def hurry(self, now: float, patience_s: float) -> None:
        """Needed soon from now on: peers have so long, and the next try need not wait."""
        self.until = now + patience_s
        self.not_before = min(self.not_before, now)

    def wait_for_peers(self, now: float, lose_patience: Callable[[str], None]) -> Outcome:
        """Peers ask for patience: wait, as long as it lasts, else go to the Hub.

        Args:
            now: The time.
            lose_patience: Told the file's hash when peers have asked for too long.
        """
        if self.waits_since is None:
            self.waits_since = now
        waited_s = now - self.waits_since
        if now >= self.until:
            return "hub"
        if waited_s >= _PROMISE_S:
            lose_patience(self.wanted.sha256)
            self.waits_since = None
        self.wait_s = min(_ASK_AGAIN_MOST_S, _ASK_AGAIN_S + waited_s / 4, self.until - now)
        return "wait"

    def count_failure(self, num_bytes: int) -> None:
        """The Hub failed when so much of the file was here; a new byte ends the row of failures before."""
        self.failures = 1 if num_bytes > self.best_bytes else self.failures + 1
        self.best_bytes = max(self.best_bytes, num_bytes)

    def wait_for_hub(self, wait_s: float, now: float, patience_s: float) -> None:
        """Try again after a while; for a file that is needed soon, peers are asked again after some failures."""
        self.wait_s = wait_s
        if self.failures % _FAILURES_BEFORE_PEERS == 0 and self.is_urgent:
            self.until = now + wait_s + patience_s


class FetchQueue:
    """The files that are not here yet, each by its place in the order in which they are needed.

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
        """The file is here."""
        del self._waiting[index]

    def hurry(self, num_urgent: int, now: float, patience_s: float) -> None:
        """Begin to count the time of files that are needed soon now, the first ones."""
        for index, job in self._waiting.items():
            if index < num_urgent and not job.is_urgent:
                job.hurry(now, patience_s)

    def due(self, now: float, busy: Collection[int], asked_for: Collection[str]) -> list[int]:
        """What to try now, the first first, whatever there is room for.

        Of the files ahead, so that all who share them move along the same order together: those that are needed soon,
        then what others wait for, wherever it stands, then the rest. Whoever is told "I shall fetch it" waits for it;
        if it came only in our own order, two that have different orders could wait for each other.

        Args:
            now: The time.
            busy: What is being tried.
            asked_for: Hashes of files that others wait for.
        """
        ahead = self._ahead()
        urgent = [index for index, job in ahead.items() if job.is_urgent]
        asked = [index for index, job in self._waiting.items() if job.wanted.sha256 in asked_for]
        order = dict.fromkeys([*urgent, *asked, *ahead])
        return [index for index in order if index not in busy and self._waiting[index].not_before <= now]

    def is_any_urgent(self, indices: Iterable[int]) -> bool:
        """Whether one of these files is needed soon."""
        return any(self._waiting[index].is_urgent for index in indices)

    def next_at(self) -> float:
        """When the next of the files ahead may be tried."""
        return min(job.not_before for job in self._ahead().values())

    def _ahead(self) -> dict[int, Job]:
        return dict(islice(self._waiting.items(), self._num_ahead))
