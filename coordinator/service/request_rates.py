"""How often a key or a peer may ask."""

from __future__ import annotations

import time
from collections import OrderedDict

from paris.protocol.clock import Clock

_MOST_KNOWN = 16384


class RequestRates:
    """Counts requests by who makes them; who was not seen for long is forgotten first.

    Args:
        most: Requests of one in a window.
        clock: Seconds that only grow.
        window_s: From the first of them, seconds.
    """

    def __init__(self, most: int, clock: Clock = time.monotonic, window_s: float = 10.0) -> None:
        self._most, self._clock, self._window_s = most, clock, window_s
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How many since when."""

    def may(self, who: str) -> bool:
        """Count a request; whether it is one of not too many."""
        number, since = self._seen.pop(who, (0, self._clock()))
        if self._clock() - since >= self._window_s:
            number, since = 0, self._clock()
        self._seen[who] = number + 1, since
        if len(self._seen) > _MOST_KNOWN:
            self._seen.popitem(last=False)
        return number < self._most
