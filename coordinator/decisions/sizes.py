"""Which size of an expert a volunteer's machine trains. Pure, like `tick`.

The first lease of an expert takes the largest size that the machine can hold; once a leg is stored, the size stays.
Before that, a machine that joins others gets the task in their size or in a larger one.
"""

from __future__ import annotations

from collections.abc import Mapping

from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import SubmissionState, VolunteerState
from paris.protocol.run_records import Task
from paris.protocol.sizes import needs_of, sizes_of


def size_for(task: Task, volunteer: VolunteerState) -> int | None:
    """The largest size of a task's expert that a volunteer's machine can hold, 0 for the run's model.

    Returns:
        None: its memory or disk is too small for any.
    """
    return next((size for size in sizes_of(task) if can_hold(task, size, volunteer)), None)


def size_of(draft: Draft, known: SubmissionState) -> int | None:
    """The size of the expert that was handed in; None: the run's model."""
    held = draft.leases.get(known.submission.lease_id)
    return None if held is None else held.lease.size


def fits(task: Task, volunteer: VolunteerState) -> bool:
    """Whether a volunteer's machine has the memory and disk for a task, in any size that it may still have."""
    return size_for(task, volunteer) is not None


def is_well_used(task: Task, volunteer: VolunteerState) -> bool:
    """Whether a task fits, and the volunteer's machine could not hold a larger expert that is not begun yet."""
    size = size_for(task, volunteer)
    return size is not None and not any(can_hold(task, larger, volunteer) for larger in range(size))


def keeps_size(task: Task, volunteer: VolunteerState, begun: Mapping[str, int]) -> bool:
    """Whether a task fits, in no smaller size than others work on.

    Args:
        task: The task.
        volunteer: Who would join them.
        begun: The largest size that is worked on, by task id.
    """
    size = size_for(task, volunteer)
    return size is not None and size <= begun.get(task.task_id, size)


def can_hold(task: Task, size: int | None, volunteer: VolunteerState) -> bool:
    """Whether a volunteer's machine has the memory and disk for a task's expert in a size; False for an unknown one."""
    needs, want = needs_of(task, size), volunteer.want
    if needs is None:
        return False
    return want.memory_bytes >= needs.min_memory_bytes and want.disk_bytes >= needs.min_disk_bytes
