"""Pauses of a unit's training: the trainer ends with a snapshot, and starts again when it may.

Only training pauses. Heartbeats go on, and say why, so the lease is renewed until the coordinator finds the work too
late (`paris.protocol.leases`); a fetch, an upload or a wait for the verdict goes on too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from paris.node.control.wishes import Wishes
from paris.node.machine.unit import Unit
from paris.node.manners.pause import Pause
from paris.node.manners.times import clock_in_words
from paris.node.view import EventKind
from paris.node.work.report import UnitReport
from paris.protocol.clock import Clock
from paris.protocol.leases import overdue_at

_LOOK_EVERY_S = 0.5
_WARN_S = 900.0
"""Before the coordinator may take the task back; after a quarter of a shorter time at the latest."""


class PauseDue(Exception):
    """The trainer is to stop for a pause."""


class HandInDue(Exception):
    """The trainer is to stop, and its newest scheduled snapshot is to be handed in."""


class Hold:
    """Decides for one unit when its trainer is to stop, and waits through pauses.

    Args:
        wishes: What the volunteer has asked for.
        unit: What is trained.
        report: Tells of the pauses, and knows the newest step and snapshot.
        clock: UTC seconds.
    """

    def __init__(self, wishes: Wishes, unit: Unit, report: UnitReport, clock: Clock = time.time) -> None:
        self._wishes, self._unit, self._report, self._clock = wishes, unit, report, clock
        self._finish_beyond: int | None = None

    def check(self) -> None:
        """Raise if the trainer must stop.

        Raises:
            PauseDue: There is a reason to pause.
            HandInDue: The volunteer wants to finish, and a snapshot of the leg has been saved since.
        """
        if self._wishes.why_paused() is not None:
            raise PauseDue
        if not self._wishes.is_finishing or not self._unit.is_leg or self._unit.lease.audit is not None:
            return
        if self._finish_beyond is None:
            self._finish_beyond = self._report.snapshot_step
        elif self._report.snapshot_step > self._finish_beyond:
            raise HandInDue

    def wait(self, check: Callable[[], None]) -> None:
        """Wait until there is no reason to pause.

        Args:
            check: Called about twice a second; what it raises ends the wait.
        """
        told: Pause | None = None
        warn_at = float("inf")
        while (pause := self._wishes.why_paused()) is not None:
            if pause != told:
                self._tell(pause)
                warn_at = self._warn_at() if told is None else warn_at
                told = pause
            if self._clock() >= warn_at:
                warn_at = float("inf")
                self._warn()
            check()
            self._wishes.stop.pause(_LOOK_EVERY_S)
        if told is not None:
            self._report.event(EventKind.RESUMED, text=f"{self._unit.task.task_id}: training goes on.")

    def _tell(self, pause: Pause) -> None:
        now, kept_until = self._clock(), self._kept_until()
        task_id = self._unit.task.task_id
        self._report.heartbeat("paused", pause.reason)
        kept = f"The task stays yours until {clock_in_words(kept_until, now)}" if kept_until > now else "It is late"
        self._report.event(
            EventKind.PAUSED,
            text=f"{task_id}: paused at step {self._report.step}: {pause.text}. {kept}; then others may get it.",
            reason=pause.reason,
            why=pause.text,
            until=pause.until,
            kept_until=kept_until,
        )

    def _warn_at(self) -> float:
        """UTC seconds; never, if the task is late already."""
        left_s = self._kept_until() - self._clock()
        return self._kept_until() - min(_WARN_S, left_s / 4) if left_s > 0 else float("inf")

    def _warn(self) -> None:
        at = clock_in_words(self._kept_until(), self._clock())
        task_id = self._unit.task.task_id
        text = f"{task_id} goes to another volunteer if it is still paused at {at}. Go on: paris-node resume"
        self._report.event(EventKind.NOTE, text=text)

    def _kept_until(self) -> float:
        return overdue_at(self._unit.lease, self._unit.task, self._report.step)
