"""What a demo among friends would lack: a volunteer that must go in the middle of its training, and a cheat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from paris.coordinator.children import Program
from paris.coordinator.demo.journal import Journal
from paris.coordinator.demo.processes import Processes
from paris.coordinator.demo.record import DemoRecord

CHEAT = "mallory"
LEAVER = "volunteer-1"


@dataclass(frozen=True)
class Strangers:
    """Starts the cheat, and lets one volunteer hand its expert over to another.

    Args:
        record: Remembers what has been done.
        processes: Starts and ends their processes.
        run_file: The run's run.json.
        leaver_home: The home of the volunteer that goes.
        successor: Name of the volunteer that comes in its place.
        start_volunteer: Lets a volunteer join.
    """

    record: DemoRecord
    processes: Processes
    run_file: str
    leaver_home: str
    successor: str
    start_volunteer: Callable[[str], None]

    def start(self, names: list[str]) -> None:
        """Start the cheat, unless it has had its verdict, and the volunteers.

        Args:
            names: Volunteers of the demo.
        """
        handover = self.record.state.handover
        if not Journal(self.processes.events_of(CHEAT)).read_all("verdict"):
            self.processes.start(CHEAT, Program.CHEAT, self.run_file, CHEAT)
        if handover == "leaving":
            self._hand_in()
        present = names if handover == "staying" else [name for name in names if name != LEAVER]
        for name in present if handover != "done" else [*present, self.successor]:
            self.start_volunteer(name)

    def look(self, leaver: Journal) -> None:
        """Take the next step of the hand-over, if it is due.

        Args:
            leaver: Events of the volunteer that goes.
        """
        state = self.record.state
        if state.handover == "staying" and _is_half_done(leaver):
            self.processes.interrupt(LEAVER)
            self._remember("leaving")
        elif state.handover == "leaving" and not self.processes.is_started("hand-in"):
            if self.processes.has_ended(LEAVER):
                self._hand_in()
        elif state.handover == "leaving" and self.processes.has_ended("hand-in"):
            self.processes.require_success("hand-in")
            self._remember("done")
            self.start_volunteer(self.successor)

    def _hand_in(self) -> None:
        self.processes.start("hand-in", Program.NODE, "hand-in", self.run_file, "--home", self.leaver_home)

    def _remember(self, handover: Literal["leaving", "done"]) -> None:
        self.record.state.handover = handover
        self.record.save()


def _is_half_done(leaver: Journal) -> bool:
    """Whether a snapshot has half of the steps of its first expert."""
    leased, snapshot = leaver.last_of("leased"), leaver.last_of("snapshot")
    if leased is None or snapshot is None or leaver.all_of("verdict"):
        return False
    return bool(2 * snapshot["step"] >= leased["steps"])
