"""Places for the streams that other peers open: nobody takes those of others by asking much, badly or not at all.

Peer ids are free, and a stream costs its opener nothing. So a stream has a firm place only when the server has accepted
the question's signer. Until then the oldest of too many streams is ended for a new one: an honest question arrives
with its stream, and waits for nothing but its check.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from paris.protocol.clock import Clock

MAX_UNPROVEN = 64
MAX_OF_ONE = 8
"""Streams of one peer, and of one signer."""
MAX_REFUSED = 32
"""Questions of a peer that were checked and refused in `_FORGIVEN_S`; further ones are not checked."""
_FORGIVEN_S = 10.0
_MOST_KNOWN = 1024


@dataclass(eq=False)
class StreamPlace:
    """One open stream."""

    peer: str
    end: Callable[[], None]
    """Ends the stream."""
    signer: str = ""
    """Who was accepted; empty before."""


class StreamPlaces:
    """The open streams of a serving peer, in its event loop.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._unproven: dict[StreamPlace, None] = {}
        """Oldest first."""
        self._num_of: Counter[str] = Counter()
        """By peer and by signer."""
        self._refused: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """By peer: how many since when."""

    def enter(self, peer: str, end: Callable[[], None]) -> StreamPlace | None:
        """A place for a new stream; None if its peer has enough of them.

        Args:
            peer: The other side's peer id, which the connection proves.
            end: Ends the stream; called when its place goes to a newer one.
        """
        if self._num_of[peer] >= MAX_OF_ONE:
            return None
        if len(self._unproven) >= MAX_UNPROVEN:
            oldest = next(iter(self._unproven))
            self.leave(oldest)
            oldest.end()
        place = StreamPlace(peer, end)
        self._unproven[place] = None
        self._num_of[peer] += 1
        return place

    def may_check(self, place: StreamPlace) -> bool:
        """Whether the question is worth a check: not too many of this peer were refused lately."""
        number, since = self._refused.get(place.peer, (0, self._clock()))
        return number < MAX_REFUSED or self._clock() - since >= _FORGIVEN_S

    def refused(self, place: StreamPlace) -> None:
        """Note that a question was checked and refused."""
        number, since = self._refused.pop(place.peer, (0, self._clock()))
        if self._clock() - since >= _FORGIVEN_S:
            number, since = 0, self._clock()
        self._refused[place.peer] = number + 1, since
        if len(self._refused) > _MOST_KNOWN:
            self._refused.popitem(last=False)

    def accepted(self, place: StreamPlace, signer: str) -> bool:
        """Make a place firm, unless the signer has enough of them, or the stream was ended meanwhile."""
        if place not in self._unproven or self._num_of[signer] >= MAX_OF_ONE:
            return False
        del self._unproven[place]
        self._num_of[signer] += 1
        place.signer = signer
        return True

    def leave(self, place: StreamPlace) -> None:
        """Free a place. One that is free already stays so."""
        if place.signer:
            self._num_of[place.signer] -= 1
            place.signer = ""
        elif place in self._unproven:
            del self._unproven[place]
        else:
            return
        self._num_of[place.peer] -= 1
        self._num_of = +self._num_of
