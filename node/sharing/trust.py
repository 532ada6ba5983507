"""Back-off for peers that failed; ban list for peers that sent wrong bytes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from paris.node.sharing.members import Member

_BACKOFF_S, _BACKOFF_CAP_S = 15.0, 960.0
_MAX_FAILURES = 3
"""After more failures in a row this node no longer waits for a member."""


@dataclass(frozen=True)
class _Failures:
    num: int = 0
    """In a row."""
    until: float = -math.inf
    """The member is not asked before."""


class Trust:
    """What this node remembers of members that failed. Safe to use from several threads.

    Back-off is per key and addresses: a member that returns at another address starts afresh. A ban is per key.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[Member, _Failures] = {}
        self._banned: set[str] = set()

    def failed(self, member: Member) -> None:
        """Leave a member alone that was unreachable, stopped, was slow or broke a promise; twice as long each time."""
        now = self._clock()
        with self._lock:
            before = self._failures.get(member, _Failures())
            if before.until <= now:  # parallel downloads may report one failure several times
                for_s = min(_BACKOFF_CAP_S, _BACKOFF_S * 2.0 ** min(before.num, 30))
                self._failures[member] = _Failures(before.num + 1, now + for_s)

    def succeeded(self, member: Member) -> None:
        """Forget the failures of a member that sent a shard."""
        with self._lock:
            self._failures.pop(member, None)

    def ban(self, member: Member) -> None:
        """Never ask a member again that sent a whole file of wrong bytes."""
        with self._lock:
            self._banned.add(member.signer)

    def not_banned(self, members: Iterable[Member]) -> list[Member]:
        """Members without the banned ones."""
        with self._lock:
            return [member for member in members if member.signer not in self._banned]

    def available(self, members: Iterable[Member]) -> list[Member]:
        """Members without those in back-off."""
        now = self._clock()
        with self._lock:
            return [member for member in members if self._of(member).until <= now]

    def is_believed(self, member: Member) -> bool:
        """Whether a member's promise to have a shard soon counts."""
        with self._lock:
            return self._of(member).num <= _MAX_FAILURES

    def may_return(self, member: Member) -> bool:
        """Whether a member failed, but not too often."""
        with self._lock:
            return 0 < self._of(member).num <= _MAX_FAILURES

    def _of(self, member: Member) -> _Failures:
        return self._failures.get(member, _Failures())
