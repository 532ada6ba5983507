"""What this machine's work was credited with, from the signed verdicts in its units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from paris.node.machine.unit import Unit, UnitFolder


@dataclass(frozen=True)
class Credits:
    """Of one run."""

    run_id: str
    accepted: int
    """Tasks, or legs of tasks, that passed verification."""
    steps: int
    """Verified steps."""
    hours: float
    """From the grants to the submissions, as the coordinator saw them."""

    def in_words(self) -> str:
        """One line."""
        return f"{self.run_id}  {self.accepted} accepted  {self.steps} steps  {self.hours:.1f} hours"

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def credits_of(run_id: str, units: Iterable[tuple[UnitFolder, Unit]]) -> Credits:
    """Add up a run's units. Verdicts of runs without legs name no steps: those of the accepted task count.

    Args:
        run_id: The run.
        units: All units of the run on this machine.
    """
    accepted = [(unit, unit.verdict) for _, unit in units if unit.verdict is not None and unit.verdict.accepted]
    steps = [unit.task.steps if verdict.credit_steps is None else verdict.credit_steps for unit, verdict in accepted]
    return Credits(run_id, len(accepted), sum(steps), sum(verdict.credit_s or 0.0 for _, verdict in accepted) / 3600)
