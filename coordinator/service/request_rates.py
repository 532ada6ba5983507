"""How often a key or a peer may ask."""

from __future__ import annotations

import time
from collections import OrderedDict

from paris.protocol.clock import Clock

_WINDOW_S = 10.0
_MOST_KNOWN = 16384


class RequestRates:
    """Counts requests by who makes them; who was not seen for long is forgotten first.

    Args:
        most: Requests of one in ten seconds.
        clock: Seconds that only grow.
    """

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How many since when."""

    def may(self, who: str) -> bool:
        """Count a request; whether it is one of not too many."""
        number, since = self._seen.pop(who, (0, self._clock()))
        if self._clock() - since >= _WINDOW_S:
            number, since = 0, self._clock()
        self._seen[who] = number + 1, since
        if len(self._seen) > _MOST_KNOWN:
            self._seen.popitem(last=False)
        return number < self._most
