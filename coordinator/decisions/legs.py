"""Legs: where the next one starts and ends, which are verified, and whose states are kept.

An expert's training may be a chain of legs. Each is leased, verified and stored by itself, and starts from the state
that the one before ended with: the task's head. Pure, like `tick`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.model import SubmissionState
from paris.protocol.records import Task

_KEPT_LAST = 3
_KEPT_PARTS = 10


def start_of(task: Task) -> int:
    """The step that the next leg starts from."""
    return 0 if task.head is None else task.head.step


def head_commitment(task: Task) -> str | None:
    """The commitment of the task's head; None without one."""
    return None if task.head is None else task.head.commitment


def end_of(task: Task, steps_per_s: float, disk_bytes: int, policy: Policy) -> int:
    """The step at which the next leg ends: a scheduled snapshot, or the task's last step.

    Args:
        task: Its head is where the leg starts.
        steps_per_s: The volunteer's speed; 0.0: unknown.
        disk_bytes: What the volunteer has free.
        policy: Gives the length of a leg.
    """
    length = policy.leg_steps or task.steps
    if policy.leg_s is not None and steps_per_s > 0:
        length = min(int(policy.leg_s * steps_per_s), length + _spare_steps(task, disk_bytes, policy))
    end = start_of(task) + max(length, policy.snapshot_every)
    return task.steps if end >= task.steps else end // policy.snapshot_every * policy.snapshot_every


def _spare_steps(task: Task, disk_bytes: int, policy: Policy) -> int:
    """By how much a leg may be longer than usual: all its snapshots stay on the volunteer's disk until the verdict.

    They may take half of what the disk has beyond the task's needs, in which the usual leg is counted.
    """
    if task.head is None:
        return 0
    state_bytes = max(1, sum(file.bytes for file in task.head.files))
    return max(0, disk_bytes - task.min_disk_bytes) // (2 * state_bytes) * policy.snapshot_every


def verified_legs(submissions: Iterable[SubmissionState], task_id: str) -> list[SubmissionState]:
    """The stored legs of a task, and its registered last one, by the step that they ended with."""
    found = [
        known
        for known in submissions
        if known.submission.task_id == task_id
        and known.phase in ("stored", "registered")
        and known.submission.start_step is not None
    ]
    return sorted(found, key=lambda known: known.submission.steps)


def forgotten_legs(submissions: Iterable[SubmissionState]) -> list[SubmissionState]:
    """The stored legs whose states are no longer kept."""
    return [known for known in submissions if known.phase == "stored" and known.head is None]


def compared_with(submissions: Iterable[SubmissionState], judged: SubmissionState) -> list[SubmissionState]:
    """Verified work that a submission may be a copy of.

    Of other tasks' legs the newest and the one of the nearest step. Those of its own task are none: a leg goes on from
    them.

    Args:
        submissions: All of the run, in the order in which they came.
        judged: The submission.
    """
    s, by_task, found = judged.submission, defaultdict[str, list[SubmissionState]](list), []
    for known in submissions:
        if known is judged or known.phase not in ("accepted", "stored", "registered", "withdrawn"):
            continue
        if known.submission.start_step is None:
            found.append(known)
        elif known.submission.task_id != s.task_id and known.phase != "withdrawn":
            by_task[known.submission.task_id].append(known)
    for legs in by_task.values():
        newest = max(legs, key=lambda leg: leg.submission.steps)
        nearest = min(legs, key=lambda leg: abs(leg.submission.steps - s.steps))
        found += [newest] if nearest is newest else [nearest, newest]
    return found


def kept_steps(steps: Iterable[int], task_steps: int) -> set[int]:
    """Of the steps of a task's states those that are kept to roll back to: the last few, and one a tenth of the task.

    Args:
        steps: Of all states that were kept so far, with the newest.
        task_steps: Of the whole task.
    """
    ordered = sorted(steps)
    first_of_part: dict[int, int] = {}
    for step in ordered:
        first_of_part.setdefault(step * _KEPT_PARTS // task_steps, step)
    first_of_part.pop(0, None)
    return {*ordered[-_KEPT_LAST:], *first_of_part.values()}


def is_same_work(one: SubmissionState, other: SubmissionState) -> bool:
    """Whether two legs have the same start, end, chain of snapshots and files."""
    return _content(one) == _content(other)


def _content(known: SubmissionState) -> tuple[object, ...]:
    s = known.submission
    files = sorted((file.path.rpartition("/")[2], file.sha256) for file in s.files)
    return s.start_step, s.steps, s.commitment, files
