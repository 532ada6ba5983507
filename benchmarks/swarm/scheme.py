"""What a way to lease and check work is asked, and the run that all ways have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.swarm.volunteers import HOUR_S, Volunteer
from paris.coordinator.run.stretches import STRETCHES_A_LEG

USUAL_STEPS_S = 1.0
"""Steps a second of the usual machine; only the ratio to a leg's length matters."""


@dataclass(frozen=True)
class Setup:
    """A simulated run. All ways to check have the same legs, deadlines and volunteers."""

    volunteers: int
    experts: int
    malice: float = 0.0
    """Share of cheats, 0 to 1. A cheat trains every other stretch of its legs, and of audits nothing."""
    scheme: str = "paris"
    lanes: int = 1
    legs: int = 20
    """Of an expert."""
    leg_hours: float = 8.0
    """Of the usual machine, without a break."""
    stretches: int = STRETCHES_A_LEG
    """Snapshots of a leg."""
    patience: float = 5.0
    """A leg's deadline, in its usual length."""
    days: float = 30.0
    """The simulation ends then, or when all experts are there."""
    poll_minutes: float = 10.0
    """The coordinator looks so often; a real one every few seconds."""
    seed: int = 0

    @property
    def stretch_steps(self) -> int:
        """Steps from a snapshot to the next."""
        return round(self.leg_hours * HOUR_S * USUAL_STEPS_S / self.stretches)

    @property
    def leg_steps(self) -> int:
        """Steps of a leg."""
        return self.stretch_steps * self.stretches

    @property
    def steps(self) -> int:
        """Steps of an expert."""
        return self.leg_steps * self.legs

    @property
    def deadline_s(self) -> float:
        """Of a whole expert; a leg has its share."""
        return self.patience * self.leg_hours * HOUR_S * self.legs


@dataclass
class Assignment:
    """What a volunteer is to train."""

    key: str
    """Of the volunteer."""
    work_id: str
    """A lease id."""
    start: int
    end: int
    is_audit: bool = False


@dataclass
class Changes:
    """What a poll decided."""

    granted: list[Assignment] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    """Work ids on which nobody works any more."""


@dataclass
class Result:
    """What the scheme counts."""

    verified_steps: int = 0
    """Steps of the experts' verified states, each once."""
    wrong_steps: int = 0
    """Of these the steps that nobody trained."""
    replayed_steps: int = 0
    """Trained again on the organiser's machine."""
    refused: set[str] = field(default_factory=set)
    """Keys with refused work."""
    refused_honest: int = 0
    """Pieces of honest work that were refused."""
    cpu_s: float = 0.0
    """Processor time of decisions."""
    ticks: int = 0
    saves: list[float] = field(default_factory=list)
    """Processor seconds of each sampled write of the state."""


class Scheme(Protocol):
    """A way to lease and check work."""

    result: Result

    def is_here(self, one: Volunteer, now: float) -> None:
        """A volunteer is on, and asks for work unless it has some."""

    def is_off(self, one: Volunteer, now: float) -> None:
        """A volunteer's machine is off."""

    def says_goodbye(self, one: Volunteer, now: float) -> None:
        """A volunteer leaves for good, and tells."""

    def reports(self, work: Assignment, step: int, now: float) -> None:
        """Progress."""

    def hands_in(self, work: Assignment, step: int, wrong: Sequence[int], now: float) -> None:
        """Work is done up to a snapshot; `wrong` are the first steps of the stretches that were not trained."""

    def takes_parts(self) -> bool:
        """Whether a leg that ends early is worth something."""

    def poll(self, now: float) -> Changes:
        """Take in what came, decide."""

    def is_done(self) -> bool:
        """Whether all experts are there."""


def every(start: int, end: int, stretch_steps: int) -> Iterable[int]:
    """The first steps of the stretches of a leg."""
    return range(start, end, stretch_steps)
