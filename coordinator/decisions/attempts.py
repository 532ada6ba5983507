"""Attempts after a state that may lack the last leases: numbers that no lost lease can have."""

from __future__ import annotations

from dataclasses import replace

from paris.coordinator.state.model import State
from paris.protocol.limits import MAX_ATTEMPT


def with_attempts_skipped(state: State, number: int) -> State:
    """The state with later attempts for tasks that have no expert yet; present leases stay valid.

    Args:
        state: As it was found.
        number: More than the leases of a task that may have been lost.
    """
    tasks = {}
    for task_id, known in state.tasks.items():
        attempt = min(known.task.attempt + number, MAX_ATTEMPT - 1)
        later = known.task.model_copy(update={"attempt": max(attempt, known.task.attempt)})
        tasks[task_id] = known if known.registration else known.model_copy(update={"task": later})
    return replace(state, tasks=tasks)
