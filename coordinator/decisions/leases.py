"""Leases: which volunteer gets which task, when a lease is renewed, when it is revoked. Pure, like `tick`.

A want is only a request; the signed lease with its attempt number decides, and only the coordinator issues it.
"""

from __future__ import annotations

import hashlib
import heapq

from paris.coordinator.decisions.draws import draw_sha256
from paris.coordinator.decisions.legs import end_of, head_commitment, start_of
from paris.coordinator.decisions.parallel import begun_sizes, free_places, live_leases, take_back
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.queue import Queue
from paris.coordinator.decisions.sizes import fits, is_well_used, keeps_size, size_for
from paris.coordinator.decisions.trust import is_waited_out, rank, recent_faults, with_fault
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import open_audits
from paris.coordinator.state.model import LeaseState, TaskState, VolunteerState
from paris.protocol.lanes import expert_of, lane_of
from paris.protocol.leases import deadline_of, is_overdue, is_renewal_due, last_step, renewed_expiry, reported_step
from paris.protocol.limits import MAX_ATTEMPT
from paris.protocol.run_records import Task
from paris.protocol.version import is_older
from paris.protocol.work_records import Lease

_HEARTBEATS_TO_COME_BACK = 3
"""After a leg was stored: for the verdict and the next want to pass through the DHT."""


def grant_open_tasks(draft: Draft, policy: Policy, now: float) -> None:
    """Give each open task to the first in the queue (`trust.rank`) that can hold it; one lease a volunteer.

    Who did a task's last leg comes first for its next one: its machine has the data and the state. A machine goes on
    with a smaller expert than it can hold only where no other task is open for it. Who is left may get a task whose
    holders show no work (`parallel.py`). While the organiser has paused the run, nobody gets one.
    """
    if draft.pause.is_paused:
        return
    open_tasks = [t for t in draft.tasks.values() if t.task.state == "open" and t.task.attempt < MAX_ATTEMPT]
    if not open_tasks and not free_places(draft, policy, now):
        return
    queue = Queue(_candidates(draft, policy, now), begun_sizes(draft))
    # Every expert is worked on before any by two.
    open_tasks.sort(key=lambda t: (lane_of(t.task.task_id), t.task.attempt, _number(t.task.task_id)))
    last = {t.task.task_id: _last_volunteer(draft, t, policy, now) for t in open_tasks}
    left = {t.task.task_id: t for t in open_tasks}
    for is_good in (is_well_used, fits):
        for task in sorted(left.values(), key=lambda t: (not _is_smaller(t.task), last[t.task.task_id] not in queue)):
            before = last[task.task.task_id]
            if before is not None and before not in queue and _may_come_back(draft, task, before, policy, now):
                continue
            chosen = queue.take(task.task, is_good, before)
            if chosen is not None:
                del left[task.task.task_id]
                _grant(draft, task, chosen, policy, now)
    waiting = queue.waiting()
    if waiting:
        _grant_in_parallel(draft, waiting, policy, now)


def _candidates(draft: Draft, policy: Policy, now: float) -> list[VolunteerState]:
    """Who may get a task, the first in the queue first."""
    busy = busy_volunteers(draft)
    free = (v for v in draft.volunteers.values() if v.public_key not in busy and may_hold(draft, v, policy, now))
    return sorted(free, key=lambda v: rank(v, policy, now))


def _grant_in_parallel(draft: Draft, candidates: list[VolunteerState], policy: Policy, now: float) -> None:
    """Give tasks that are leased already to those that wait, first the one with most free places.

    Nobody is put beside a larger machine with a smaller size: its leg would be done first and end the larger expert.
    """
    begun = begun_sizes(draft)
    places = [
        (-number, _number(name), order, name)
        for order, (name, number) in enumerate(free_places(draft, policy, now).items())
    ]
    heapq.heapify(places)
    too_small: set[tuple[int, int]] = set()
    for volunteer in candidates:
        machine = (volunteer.want.memory_bytes, volunteer.want.disk_bytes)
        if not places or machine in too_small:
            continue
        passed = []
        while places and not keeps_size(draft.tasks[places[0][-1]].task, volunteer, begun):
            passed.append(heapq.heappop(places))
        if places:
            less, number, order, name = heapq.heappop(places)
            if less < -1:
                passed.append((less + 1, number, order, name))
            begun[name] = size_for(draft.tasks[name].task, volunteer) or 0
            _grant(draft, draft.tasks[name], volunteer, policy, now)
        else:
            too_small.add(machine)
        for place in passed:
            heapq.heappush(places, place)


def _last_volunteer(draft: Draft, task: TaskState, policy: Policy, now: float) -> VolunteerState | None:
    """Who did the leg that ended at the task's head, unless it has failed since, or its disk is full now."""
    known = draft.submissions.get(task.head_lease_id or "")
    volunteer = None if known is None else draft.volunteers.get(known.signer)
    if volunteer is None or not fits(task.task, volunteer) or recent_faults(volunteer, policy, now) > 0:
        return None
    return volunteer


def _may_come_back(draft: Draft, task: TaskState, volunteer: VolunteerState, policy: Policy, now: float) -> bool:
    """Whether a volunteer may not have read yet that its leg was stored: for so long the next leg waits for it."""
    stored_at = draft.submissions[task.head_lease_id or ""].stored_at
    is_told = now - stored_at > _HEARTBEATS_TO_COME_BACK * policy.heartbeat_every_s
    is_here = now - volunteer.seen_at <= policy.want_life_s
    return volunteer.want.state == "busy" and is_here and not is_told


def _grant(draft: Draft, task: TaskState, volunteer: VolunteerState, policy: Policy, now: float) -> None:
    lease = _new_lease(draft, task.task, volunteer, policy, now)
    draft.put_lease(LeaseState(lease=lease, start_commitment=head_commitment(task.task)))
    draft.put_task(task.leased(lease))
    stretch = "" if lease.to_step is None else f"steps {lease.start_step} to {lease.to_step}, "
    too = " too" if task.lease_id is not None else ""
    size = "" if lease.size is None else f"smaller size {lease.size}, "
    what = f"leased to {volunteer.want.name}{too}, {stretch}{size}attempt {lease.attempt}."
    draft.add_event(EventKind.LEASED, f"{lease.task_id}: {what}")


def renew_leases(draft: Draft, policy: Policy, now: float) -> None:
    """Extend, past a third of its life, each lease with a recent heartbeat."""
    for held in live_leases(draft):
        lease = held.lease
        alive = held.heartbeat_at is not None and now - held.heartbeat_at <= 4 * policy.heartbeat_every_s
        if alive and is_renewal_due(lease, policy.lease_s, now):
            renewed = lease.model_copy(update={"expires_at": renewed_expiry(lease, policy.lease_s, now)})
            draft.put_lease(held.model_copy(update={"lease": renewed}))


def revoke_leases(draft: Draft, policy: Policy, now: float, watching_since: float) -> None:
    """Revoke leases that are given up, or behind the deadline curve with the grace over; their tasks reopen.

    No lease is late before the coordinator has been up for a whole grace.
    """
    for held in live_leases(draft):
        if held.lease.lease_id in draft.submissions:
            continue
        task = draft.tasks[held.lease.task_id].task
        volunteer = draft.volunteers.get(held.lease.volunteer)
        reason = _reason_to_revoke(held, task, volunteer, now, now - watching_since > task.grace_s)
        if reason is None:
            continue
        take_back(draft, held, reason)
        if volunteer is not None:
            faulty = with_fault(volunteer, policy, now)
            draft.put_volunteer(faulty.model_copy(update={"num_revoked": volunteer.num_revoked + 1}))


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
        latest = held.lease.granted_at + deadline_of(held.lease, task) + 2 * task.grace_s
        return None if now < latest else "the finished work did not arrive in time."
    if is_overdue(held.lease, task, held.heartbeat, now):
        stand = f"step {reported_step(held.lease, held.heartbeat)} of {last_step(held.lease, task)}"
        return f"{stand} is behind the deadline curve and the grace of {task.grace_s:.0f} s is over."
    return None


def _new_lease(draft: Draft, task: Task, volunteer: VolunteerState, policy: Policy, now: float) -> Lease:
    """A lease for a leg in a run of legs, or where an earlier setting left a head; else for the whole task."""
    attempt = task.attempt + 1
    lease_id = _lease_id(task, attempt, volunteer.public_key, now)
    is_leg = policy.leg_steps is not None or task.head is not None
    size = size_for(task, volunteer) or None
    speed = _speed_of(draft, volunteer.public_key, size)
    return Lease(
        lease_id=lease_id,
        task_id=task.task_id,
        attempt=attempt,
        volunteer=volunteer.public_key,
        granted_at=now,
        expires_at=now + policy.lease_s,
        start_step=start_of(task) if is_leg else None,
        to_step=end_of(task, speed, volunteer.want.disk_bytes, policy) if is_leg else None,
        draw_sha256=draw_sha256(policy.draw_key, lease_id) if is_leg else None,
        size=size,
    )


def _speed_of(draft: Draft, volunteer: str, size: int | None) -> float:
    """Steps a second of a volunteer's last training in a size, as it reported; 0.0: none is known."""
    leases = (draft.leases[lease_id] for lease_id in draft.indexes.of_volunteer.of(volunteer))
    beats = [
        (held.heartbeat_at, held.heartbeat.steps_per_s)
        for held in leases
        if held.lease.size == size and held.heartbeat is not None and held.heartbeat_at is not None
    ]
    return max(((at, speed) for at, speed in beats if speed > 0), default=(0.0, 0.0))[1]


def _lease_id(task: Task, attempt: int, volunteer: str, now: float) -> str:
    """Unique, yet a function of its inputs, so that `tick` stays pure."""
    return hashlib.sha256(f"{task.task_id} {attempt} {volunteer} {now!r}".encode()).hexdigest()[:32]


def busy_volunteers(draft: Draft) -> set[str]:
    """Keys of those that hold a lease of a task, or of an audit."""
    auditing = {audit.volunteer for audit in open_audits(draft) if audit.outcome == "waiting"}
    return auditing | {held.lease.volunteer for held in live_leases(draft)}


def may_hold(draft: Draft, volunteer: VolunteerState, policy: Policy, now: float) -> bool:
    """Whether a volunteer waits, and may get a lease by the organiser's word, its software and its own faults."""
    is_waiting = volunteer.want.state == "waiting" and now - volunteer.seen_at <= policy.want_life_s
    return is_waiting and is_welcome(draft, volunteer, policy) and is_waited_out(volunteer, policy, now)


def is_welcome(draft: Draft, volunteer: VolunteerState, policy: Policy) -> bool:
    """Whether the organiser lets a volunteer work, and its software is new enough."""
    known = draft.standings.get(volunteer.public_key)
    is_allowed = not policy.allowed_only if known is None else known.standing == "allowed"
    return is_allowed and not is_older(volunteer.want.node_version, policy.min_node_version)


def _is_smaller(task: Task) -> bool:
    """Whether a task's expert was begun in a smaller size."""
    return task.head is not None and task.head.size is not None


def _number(task_id: str) -> int:
    return int(expert_of(task_id).rpartition("-")[2]) if task_id != "router" else 10**6
