"""The last verified work of each expert, and a choice of experts where a run has many. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from paris.coordinator.state.model import State, TaskState

T = TypeVar("T")


def by_cluster(state: State) -> list[TaskState]:
    """The experts' own tasks in the order of their clusters."""
    return sorted(state.experts.values(), key=lambda task: task.task.cluster)


def judged_lease(task: TaskState) -> str | None:
    """The lease of an expert's last verified work, its registration or a leg; None before the first."""
    return task.head_lease_id if task.registration is None else task.registration.lease_id


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, the first and the last among them; `most` is at least 2."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]
