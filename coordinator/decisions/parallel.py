"""Parallel leases: a volunteer without accepted work keeps a task from nobody for long. Pure, like `tick`.

Keys are free, so any number of them may take a task in turn and do nothing. A task is therefore leased to several
volunteers at once where its holders show nothing; the first verified work ends the other leases. Without that, ten
such keys would delay an honest newcomer by ten graces; with it, by at most one, in whatever order they come.
"""

from __future__ import annotations

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import is_proven
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import indexes_of
from paris.coordinator.state.model import LeaseState, State, TaskState
from paris.protocol.leases import first_step, reported_step
from paris.protocol.limits import MAX_ATTEMPT

MOST_LEASES = 16
"""Of one task at a time: each may bring work that must be verified."""


def live_leases(state: State | Draft) -> list[LeaseState]:
    """The leases that are worked on, and each task's present one while its work waits for a verdict; no audits."""
    return [held for task_id in state.tasks for held in live_leases_of(state, task_id)]


def live_leases_of(state: State | Draft, task_id: str) -> list[LeaseState]:
    """Those of one task; none of an unknown one."""
    task, is_open = state.tasks.get(task_id), indexes_of(state).open_leases
    if task is None or task.registration is not None:
        return []
    live = [state.leases[lease_id] for lease_id in is_open.of(task_id)]
    present = None if task.lease_id is None else state.leases.get(task.lease_id)
    if present is not None and present.lease.audit is None and not is_open.has(present.lease.lease_id, task_id):
        live.append(present)
    return live


def begun_sizes(draft: Draft) -> dict[str, int]:
    """The largest size that is worked on under each task's live leases, by task id; 0: the run's model."""
    begun: dict[str, int] = {}
    for held in live_leases(draft):
        size, task_id = held.lease.size or 0, held.lease.task_id
        begun[task_id] = min(size, begun.get(task_id, size))
    return begun


def take_back(draft: Draft, held: LeaseState, reason: str) -> None:
    """Revoke a lease; if it is its task's present one, the task opens again."""
    draft.put_lease(held.revoked(reason))
    what = f"lease {held.lease.lease_id[:8]} taken back: {reason}"
    draft.add_event(EventKind.REVOKED, f"{held.lease.task_id}: {what}")
    task = draft.tasks[held.lease.task_id]
    if task.lease_id == held.lease.lease_id:
        draft.put_task(task.reopened())


def end_others(draft: Draft, task_id: str, lease_id: str, reason: str) -> None:
    """Revoke the leases of a task whose work was done under another one."""
    for held in live_leases_of(draft, task_id):
        if held.lease.lease_id != lease_id:
            draft.put_lease(held.revoked(reason))


def free_places(draft: Draft, policy: Policy, now: float) -> dict[str, int]:
    """How many further volunteers may take each leased task, by task id; tasks without a place are left out."""
    leased = {
        name: task
        for name, task in draft.tasks.items()
        if task.task.state == "leased" and task.task.attempt < MAX_ATTEMPT
    }
    free = {}
    for name, task in leased.items():
        live = live_leases_of(draft, name)
        free[name] = _num_at_once(draft, task, live, policy, now) - len(live)
    return {name: number for name, number in free.items() if number > 0}


def _num_at_once(draft: Draft, task: TaskState, live: list[LeaseState], policy: Policy, now: float) -> int:
    """How many leases a task may have at a time.

    At least `policy.replicas`, and no more if a holder has accepted work. Else as many as wait, up to `MOST_LEASES`,
    when no holder has shown a step for half of the grace; leases that were given up meanwhile count, so that keys in
    turn gain no time. Reported steps are believed at first: each lease since the last verified work that reported some
    and came to nothing adds one; one whose work was accepted adds none, also where the task has gone on from another
    state.
    """
    if any(is_proven(draft.volunteers.get(held.lease.volunteer), policy, now) for held in live):
        return policy.replicas
    grace_s = task.task.grace_s
    leases = [draft.leases[lease_id] for lease_id in draft.indexes.of_task.of(task.task.task_id)]
    at_work = {held.lease.lease_id for held in live}
    recent = [
        held.lease.granted_at
        for held in leases
        if held.lease.lease_id in at_work or (now - held.lease.granted_at <= grace_s and not _was_accepted(draft, held))
    ]
    if not any(map(shows_work, live)) and now - min(recent, default=now) >= grace_s / 2:
        return MOST_LEASES
    head = draft.submissions.get(task.head_lease_id or "")
    head_attempt = 0 if head is None else head.submission.attempt
    broken = [
        held
        for held in leases
        if held.lease.lease_id not in at_work and held.lease.attempt > head_attempt and shows_work(held)
    ]
    shared = min(MOST_LEASES, 1 + sum(not _was_accepted(draft, held) for held in broken))
    return max(shared, policy.replicas)


def _was_accepted(draft: Draft, held: LeaseState) -> bool:
    known = draft.submissions.get(held.lease.lease_id)
    return known is not None and known.verdict is not None and known.verdict.accepted


def shows_work(held: LeaseState) -> bool:
    """Whether a step beyond the first was reported under a lease."""
    return reported_step(held.lease, held.heartbeat) > first_step(held.lease)
