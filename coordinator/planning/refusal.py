"""Whether `publish-tasks` goes on."""

from __future__ import annotations

from paris.coordinator.errors import PlanError
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_of_run
from paris.coordinator.planning.measured import read_devices
from paris.coordinator.run.directory import RunDir


def require_possible(run: RunDir) -> None:
    """Check, before tasks open, that the plan of a prepared run has no problem that is refused.

    Raises:
        PlanError: It has one; the first is named.
    """
    refused = [problem for problem in make_plan(facts_of_run(run), read_devices(run)).problems if problem.refuses]
    if refused:
        first = refused[0]
        raise PlanError(
            f"{first.setting} = {first.value}: {first.what}.",
            f"{first.next_step} See paris-coord plan {run.path}; to publish all the same, add --despite-plan.",
        )
