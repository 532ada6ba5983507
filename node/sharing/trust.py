"""Whom to leave alone for a while, and whom for good."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from paris.node.sharing.members import Member

_LEFT_ALONE_S, _LEFT_ALONE_MOST_S = 15.0, 960.0
_MAY_COME_BACK = 3
"""After more troubles in a row nobody waits for a member."""


@dataclass(frozen=True)
class _Trouble:
    times: int = 0
    """In a row."""
    until: float = -math.inf


class Troubles:
    """What a node remembers of members that failed it; safe to use from any thread.

    A member that comes back at another address is another one, but for a liar: that is a key.

    Args:
        clock: Seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._troubles: dict[Member, _Trouble] = {}
        self._liars: set[str] = set()

    def had(self, member: Member) -> None:
        """It could not be reached, stopped, was too slow or broke its word: leave it alone, each time twice as long."""
        now = self._clock()
        with self._lock:
            before = self._troubles.get(member, _Trouble())
            if before.until <= now:  # several downloads may meet the same trouble at once
                for_s = min(_LEFT_ALONE_MOST_S, _LEFT_ALONE_S * 2.0 ** min(before.times, 30))
                self._troubles[member] = _Trouble(before.times + 1, now + for_s)

    def lied(self, member: Member) -> None:
        """It alone sent other bytes than were signed: never ask it again."""
        with self._lock:
            self._liars.add(member.signer)

    def over(self, member: Member) -> None:
        """It gave what it was asked for."""
        with self._lock:
            self._troubles.pop(member, None)

    def honest(self, members: Iterable[Member]) -> list[Member]:
        """Without the liars."""
        with self._lock:
            return [member for member in members if member.signer not in self._liars]

    def to_ask(self, members: Iterable[Member]) -> list[Member]:
        """Without those that are left alone now."""
        now = self._clock()
        with self._lock:
            return [member for member in members if self._of(member).until <= now]

    def is_believed(self, member: Member) -> bool:
        """Whether its word that it will have something counts."""
        with self._lock:
            return self._of(member).times <= _MAY_COME_BACK

    def may_come_back(self, member: Member) -> bool:
        """Whether it had troubles, but not too many of them."""
        with self._lock:
            return 0 < self._of(member).times <= _MAY_COME_BACK

    def _of(self, member: Member) -> _Trouble:
        return self._troubles.get(member, _Trouble())
