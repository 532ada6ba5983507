"""Two clocks: records carry wall-clock times, the steady clock runs periods, timeouts and deadlines.

A wall clock is set, by hand or NTP, while programs run, and goes on while a machine sleeps. A record says when it was
issued by the wall clock, since other machines read it; nothing else may depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from paris.protocol.limits import MAX_CLOCK_SKEW_S

Clock = Callable[[], float]


def steady_clock(wall: Clock = time.time, monotonic: Clock = time.monotonic) -> Clock:
    """A clock that starts at the wall clock's time and never jumps: UTC seconds, for states kept over restarts."""
    offset_s = wall() - monotonic()
    return lambda: monotonic() + offset_s


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
