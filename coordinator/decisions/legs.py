"""Legs: where the next one starts and ends, which are verified, and whose states are kept.

An expert's training may be a chain of legs. Each is leased, verified and stored by itself, and starts from the state
that the one before ended with: the task's head. Pure, like `tick`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.run.kept_states import KEPT_LAST, KEPT_PARTS
from paris.coordinator.run.stretches import FEWEST_STRETCHES
from paris.coordinator.state.model import SubmissionState, TaskState
from paris.protocol.chain import MAX_LINKS
from paris.protocol.lanes import expert_of, lane_id
from paris.protocol.run_records import Head, Task


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
        least = min(length, FEWEST_STRETCHES * policy.snapshot_every)
        length = min(int(policy.leg_s * steps_per_s), length + _spare_steps(task, disk_bytes, policy))
        length = max(length, least)
    length = min(length, MAX_LINKS * policy.snapshot_every)
    end = start_of(task) + max(length, policy.snapshot_every)
    if policy.lanes > 1:
        end = min(end, round_end(task, policy))
    return task.steps if end >= task.steps else end // policy.snapshot_every * policy.snapshot_every


def round_end(task: Task, policy: Policy) -> int:
    """The step at which the round of an expert's lanes ends, after the task's head; that of the last may be beyond it.

    Args:
        task: Of an expert, or of one of its lanes.
        policy: Gives the length of a round: the usual one of a leg.
    """
    length = _round_steps(task, policy)
    return (start_of(task) // length + 1) * length


def is_in_lanes(tasks: Mapping[str, TaskState], task: TaskState, policy: Policy) -> bool:
    """Whether a task's expert is trained in several lanes."""
    return policy.lanes > 1 and lane_id(expert_of(task.task.task_id), 1) in tasks


def is_at_round_start(task: Task, policy: Policy) -> bool:
    """Whether no step of the round is verified; arguments as in `round_end`."""
    return start_of(task) % _round_steps(task, policy) == 0


def _round_steps(task: Task, policy: Policy) -> int:
    every = policy.snapshot_every
    return max(every, (policy.leg_steps or task.steps) // every * every)


def verified_starts(tasks: Mapping[str, TaskState], submissions: Iterable[SubmissionState], task_id: str) -> set[str]:
    """Commitments of all verified states from which a leg may have started: of its expert's lanes, and their means.

    Args:
        tasks: Of the run.
        submissions: Of the run.
        task_id: The leg's task.
    """
    legs = expert_legs(submissions, expert_of(task_id))
    means = [one.commitment for one in tasks[expert_of(task_id)].rounds if not one.is_withdrawn]
    return {*(leg.submission.commitment for leg in legs), *means}


def kept_heads(tasks: Mapping[str, TaskState], submissions: Iterable[SubmissionState], task_id: str) -> list[Head]:
    """Those of these states whose files are kept; arguments as in `verified_starts`."""
    legs = expert_legs(submissions, expert_of(task_id))
    # Of a round's states the mean first: what the expert went on from.
    means = [one.head for one in tasks[expert_of(task_id)].rounds if not one.is_withdrawn]
    found = [*means, *(leg.head for leg in legs)]
    return [head for head in found if head is not None]


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


def expert_legs(submissions: Iterable[SubmissionState], expert: str) -> list[SubmissionState]:
    """The verified legs of an expert, in all its lanes, by the step that they ended with.

    Args:
        submissions: Of the run.
        expert: The expert's own task.
    """
    in_lanes = [known for known in submissions if expert_of(known.submission.task_id) == expert]
    legs = [leg for task_id in {s.submission.task_id for s in in_lanes} for leg in verified_legs(in_lanes, task_id)]
    return sorted(legs, key=lambda leg: (leg.submission.steps, leg.submission.task_id))


def forgotten_legs(submissions: Iterable[SubmissionState]) -> list[SubmissionState]:
    """The stored legs whose states are no longer kept."""
    return [known for known in submissions if known.phase == "stored" and known.head is None]


def compared_with(submissions: Iterable[SubmissionState], judged: SubmissionState) -> list[SubmissionState]:
    """Verified work that a submission may be a copy of.

    Of other experts' legs the newest and the one of the nearest step. Those of its own task are none: a leg goes on
    from them. Those of its other lanes are compared in their digests alone (`service/verifier.py`): they go on from the
    same state, and end near it.

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
        elif known.submission.task_id == s.task_id or known.phase == "withdrawn":
            continue
        elif expert_of(known.submission.task_id) != expert_of(s.task_id):
            by_task[known.submission.task_id].append(known)
        elif known.submission.steps == s.steps:
            found.append(known)
    for legs in by_task.values():
        newest = max(legs, key=lambda leg: leg.submission.steps)
        nearest = min(legs, key=lambda leg: abs(leg.submission.steps - s.steps))
        found += [newest] if nearest is newest else [nearest, newest]
    return found


def kept_steps(steps: Iterable[int], task_steps: int | None) -> set[int]:
    """Of the steps of a task's states those that are kept to roll back to: the last few, and one a tenth of the task.

    Args:
        steps: Of all states that were kept so far, with the newest.
        task_steps: Of the whole task; None: the last few alone are kept.
    """
    ordered = sorted(steps)
    if task_steps is None:
        return set(ordered[-KEPT_LAST:])
    first_of_part: dict[int, int] = {}
    for step in ordered:
        first_of_part.setdefault(step * KEPT_PARTS // task_steps, step)
    first_of_part.pop(0, None)
    return {*ordered[-KEPT_LAST:], *first_of_part.values()}


def is_same_work(one: SubmissionState, other: SubmissionState) -> bool:
    """Whether two legs have the same start, end, chain of snapshots and files."""
    return _content(one) == _content(other)


def _content(known: SubmissionState) -> tuple[object, ...]:
    s = known.submission
    files = sorted((file.path.rpartition("/")[2], file.sha256) for file in s.files)
    return s.start_step, s.steps, s.commitment, files
