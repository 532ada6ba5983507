"""Leases that this node gave up: the coordinator is told again until it has taken them back."""

from __future__ import annotations

import time

from paris.node.machine.home import Home
from paris.node.machine.unit import Unit, UnitFolder
from paris.node.swarm.coordinator_records import is_given_back
from paris.node.swarm.session import RunSession
from paris.node.view import View
from paris.node.work.report import UnitReport
from paris.protocol.clock import Clock


class GivenUp:
    """The given-up leases of one run whose end the coordinator has not confirmed.

    Use it only while no unit is worked on: it publishes heartbeats, of which the node has one at a time.

    Args:
        session: The run; its announcer is running.
        home: Remembers the units over restarts.
        view: Of the reports.
        clock: Seconds that only grow.
    """

    def __init__(self, session: RunSession, home: Home, view: View, clock: Clock = time.monotonic) -> None:
        self._session, self._home, self._view, self._clock = session, home, view, clock
        self._next_at = clock()

    def unconfirmed(self) -> list[Unit]:
        """The units to tell of; those that the coordinator has taken back are forgotten."""
        pending = self._pending()
        if not pending:
            return []
        leases, tasks = self._session.ways.read("lease"), self._session.ways.read("task")
        for folder, unit in pending:
            if is_given_back(leases, tasks, unit.lease):
                folder.set_unreported(False)
        return [unit for _, unit in self._pending()]

    def tell(self) -> bool:
        """Publish each unit's end until one is not stored; whether peers stored all of them."""
        self._next_at = self._clock() + self._session.spec.heartbeat_every_s
        reports = [UnitReport(self._session.announcer, self._view, unit) for unit in self.unconfirmed()]
        return all(report.failed() for report in reports)

    def tell_when_due(self) -> None:
        """`tell` once a heartbeat period."""
        if self._clock() >= self._next_at:
            self.tell()

    def _pending(self) -> list[tuple[UnitFolder, Unit]]:
        units = self._home.units(self._session.run_id)
        return [(folder, unit) for folder, unit in units if folder.is_unreported]
