"""How many states of an expert's legs are kept, and so how many branches and tags the model repo has."""

from __future__ import annotations

from paris.coordinator.run.config import RunConfig

KEPT_LAST = 3
"""The newest states of a task, or of an expert's means."""
KEPT_PARTS = 10
"""Beside them one state from each such part of the task's steps."""
_OTHER_REFS = 1000
"""main, and tags of releases and of the organiser's choice."""


def most_refs(config: RunConfig) -> int:
    """A bound on branches and tags of the model repo, for the embedded Hub.

    Each lane of an expert, and its means, have a branch for each kept state and for the one that is being stored; the
    expert's own states, and its registration, have tags too. There may be twice as many: states that rechecks wait
    for, and those that the next leg deletes.

    Args:
        config: Of the run.
    """
    return _OTHER_REFS + 2 * config.run.num_experts * (config.tasks.lanes + 1) * (KEPT_LAST + KEPT_PARTS + 2)
