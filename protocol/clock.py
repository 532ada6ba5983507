"""Two clocks: records carry wall-clock times, the steady clock runs periods, timeouts and deadlines.

A wall clock is set, by hand or NTP, while programs run, and goes on while a machine sleeps. A record says when it was
issued by the wall clock, since other machines read it; nothing else may depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from paris.protocol.limits import MAX_CLOCK_SKEW_S

Clock = Callable[[], float]


class SteadyClock:
    """UTC seconds for states kept over restarts: it starts at the wall clock's time, and moves only when told.

    A program may start while the wall clock is wrong. Whoever keeps times by this clock calls `lag_s` now and then,
    and moves the clock and the times together.

    Args:
        wall: UTC seconds.
        monotonic: Seconds that only grow, at the same speed.
    """

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset_s = wall() - monotonic()

    def __call__(self) -> float:
        """UTC seconds now."""
        return self._monotonic() + self._offset_s

    def lag_s(self) -> float:
        """How far the wall clock is ahead; negative behind; 0.0 where peers would not mind the difference."""
        lag_s = self._wall() - self()
        return lag_s if abs(lag_s) > MAX_CLOCK_SKEW_S else 0.0

    def move(self, by_s: float) -> None:
        """Go on from a time that is `by_s` later."""
        self._offset_s += by_s


class ClockWatch:
    """Notices when the wall clock jumps.

    Args:
        wall: UTC seconds.
        monotonic: Seconds that only grow, at the same speed.
    """

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset_s = wall() - monotonic()

    def jump_s(self) -> float:
        """How far the wall clock has jumped since the last call; 0.0 where only its speed was corrected."""
        offset_s = self._wall() - self._monotonic()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        return jump_s if abs(jump_s) > MAX_CLOCK_SKEW_S else 0.0


def jump_in_words(jump_s: float) -> str:
    """One line that names a jump."""
    where = "ahead" if jump_s > 0 else "back"
    why = "it was set, or the machine slept" if jump_s > 0 else "it was set"
    jump = f"The clock of this machine jumped {abs(jump_s):.0f} s {where} ({why})"
    return f"{jump}; work goes on, and records are published again."
