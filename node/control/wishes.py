"""What the volunteer has asked a running node for. The control socket writes it, the work looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from paris.node.manners.pause import Pause
from paris.node.manners.times import clock_in_words
from paris.node.retry import StopSignal
from paris.protocol.clock import Clock


class Wishes:
    """Pause, resume, finish, leave. Lasts as long as the process: a node that is started again trains.

    Args:
        stop: The wish to stop, which every wait of the node heeds.
        manners: A reason to pause by the owner's settings, or None; see `heed`.
        clock: UTC seconds.
    """

    def __init__(
        self,
        stop: StopSignal,
        manners: Callable[[], Pause | None] = lambda: None,
        clock: Clock = time.time,
    ) -> None:
        self.stop = stop
        self._manners, self._clock = manners, clock
        self._lock = threading.Lock()
        self._asked: Pause | None = None
        self.is_finishing = False
        """Hand in at the next snapshot of a leg, or finish the task that is not divided; then end."""
        self.is_leaving = False
        """Give the task back, then end."""

    def heed(self, manners: Callable[[], Pause | None]) -> None:
        """Take over the owner's settings, once they are read."""
        self._manners = manners

    def pause(self, until: float | None = None) -> None:
        """Ask for a pause.

        Args:
            until: UTC seconds at which it ends by itself; None: `resume` ends it.
        """
        text = "you asked for it" if until is None else f"you asked for it, until {self._time(until)}"
        with self._lock:
            self._asked = Pause("asked", text, until)

    def resume(self) -> None:
        """End a pause that was asked for; one by the owner's settings stays."""
        with self._lock:
            self._asked = None

    def finish(self) -> None:
        """Ask for an end with nothing lost; ends a pause that was asked for."""
        self.is_finishing = True
        self.resume()

    def leave(self) -> None:
        """Ask for an end at once, with the task given back."""
        self.is_leaving = True
        self.stop.set()

    def why_paused(self) -> Pause | None:
        """The present reason to pause; None: training may go on."""
        with self._lock:
            if self._asked is not None and self._asked.until is not None and self._clock() >= self._asked.until:
                self._asked = None
            asked = self._asked
        return asked or self._manners()

    def _time(self, at: float) -> str:
        return clock_in_words(at, self._clock())
