"""Leases: who gets which task, when a lease is renewed, when it is taken back. Pure, as `tick` is.

A claim is only a wish; the signed grant with its attempt number is the truth, and the coordinator alone writes it.
"""

from __future__ import annotations

import hashlib

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import LeaseState, State, TaskState, VolunteerState
from paris.protocol.leases import overdue, renewal_due, renewed_expiry
from paris.protocol.records import Lease, Task


def grant_open_tasks(state: State, policy: Policy, now: float, events: list[Event]) -> State:
    """Give each open task to the volunteer that waits longest and can hold it; one lease a volunteer."""
    busy = {held.lease.volunteer for held in _live_leases(state)}
    candidates = sorted(
        (v for v in state.volunteers.values() if _is_waiting(v, policy, now) and v.public_key not in busy),
        key=lambda v: (v.num_revoked + v.num_rejected, v.waiting_since, v.public_key),
    )
    for task in sorted(state.tasks.values(), key=lambda t: (t.task.attempt, _number(t.task.task_id))):
        if task.task.state != "open":
            continue
        chosen = next((v for v in candidates if fits(task.task, v)), None)
        if chosen is None:
            continue
        candidates.remove(chosen)
        state = _grant(state, task, chosen, policy, now)
        events.append(
            Event("leased", f"{task.task.task_id}: leased to {chosen.want.name}, attempt {task.task.attempt + 1}.")
        )
    return state


def fits(task: Task, volunteer: VolunteerState) -> bool:
    """Whether a volunteer's machine can hold a task."""
    want = volunteer.want
    return want.memory_bytes >= task.min_memory_bytes and want.disk_bytes >= task.min_disk_bytes


def renew_leases(state: State, policy: Policy, now: float) -> State:
    """Prolong, past a third of its life, each lease on which there was a sign of life."""
    for held in _live_leases(state):
        lease = held.lease
        alive = held.heartbeat_at is not None and now - held.heartbeat_at <= 4 * policy.heartbeat_every_s
        if alive and renewal_due(lease, policy.lease_s, now):
            longer = lease.model_copy(update={"expires_at": renewed_expiry(lease, policy.lease_s, now)})
            state = state.with_lease(held.model_copy(update={"lease": longer}))
    return state


def take_back_leases(state: State, now: float, watching_since: float, events: list[Event]) -> State:
    """Revoke what is given up, or behind the deadline curve with the grace over; the task reopens.

    Nobody is late before the coordinator has watched for a whole grace.
    """
    for task in list(state.tasks.values()):
        held = state.leases.get(task.lease_id or "")
        if held is None or task.task.state != "leased":
            continue
        volunteer = state.volunteers.get(held.lease.volunteer)
        may_be_late = now - watching_since > task.task.grace_s
        reason = _reason_to_revoke(held, task.task, volunteer, now, may_be_late)
        if reason is None:
            continue
        events.append(Event("revoked", f"{task.task.task_id}: lease {held.lease.lease_id[:8]} taken back: {reason}"))
        revoked = held.lease.model_copy(update={"state": "revoked", "reason": reason})
        state = state.with_lease(held.model_copy(update={"lease": revoked}))
        state = state.with_task(
            task.model_copy(update={"task": task.task.model_copy(update={"state": "open"}), "lease_id": None})
        )
        if volunteer is not None:
            update = {"num_revoked": volunteer.num_revoked + 1}
            state = state.with_volunteer(volunteer.model_copy(update=update))
    return state


def _reason_to_revoke(
    held: LeaseState, task: Task, volunteer: VolunteerState | None, now: float, may_be_late: bool
) -> str | None:
    if held.heartbeat is not None and held.heartbeat.state == "failed":
        return "the volunteer gave it up."
    if volunteer is not None and volunteer.want.state == "leaving":
        return "the volunteer is leaving."
    if not may_be_late:
        return None
    if held.heartbeat is not None and held.heartbeat.state in ("uploading", "waiting-verdict"):
        latest = held.lease.granted_at + task.deadline_s + 2 * task.grace_s
        return None if now < latest else "the finished work did not arrive in time."
    if overdue(held.lease, task, held.heartbeat, now):
        step = 0 if held.heartbeat is None else held.heartbeat.step
        return (
            f"step {step} of {task.steps} is behind the deadline curve and the grace of {task.grace_s:.0f} s is over."
        )
    return None


def _grant(state: State, task: TaskState, volunteer: VolunteerState, policy: Policy, now: float) -> State:
    attempt = task.task.attempt + 1
    lease = Lease(
        lease_id=_lease_id(task.task, attempt, volunteer.public_key, now),
        task_id=task.task.task_id,
        attempt=attempt,
        volunteer=volunteer.public_key,
        granted_at=now,
        expires_at=now + policy.lease_s,
    )
    state = state.with_lease(LeaseState(lease=lease))
    leased = task.task.model_copy(update={"state": "leased", "attempt": attempt})
    return state.with_task(task.model_copy(update={"task": leased, "lease_id": lease.lease_id}))


def _lease_id(task: Task, attempt: int, volunteer: str, now: float) -> str:
    """Unique, yet a function of its inputs, so that `tick` stays pure."""
    return hashlib.sha256(f"{task.task_id} {attempt} {volunteer} {now!r}".encode()).hexdigest()[:32]


def _live_leases(state: State) -> list[LeaseState]:
    """Leases that are being worked on: the present lease of a task that is leased or submitted."""
    ids = [task.lease_id for task in state.tasks.values() if task.lease_id is not None and task.registration is None]
    return [state.leases[lease_id] for lease_id in ids if lease_id in state.leases]


def _is_waiting(volunteer: VolunteerState, policy: Policy, now: float) -> bool:
    return volunteer.want.state == "waiting" and now - volunteer.seen_at <= policy.want_life_s


def _number(task_id: str) -> int:
    return int(task_id.rpartition("-")[2]) if task_id != "router" else 10**6
