"""Lease arithmetic: the deadline curve, when a lease is taken back, and until when it is renewed. Pure.

The curve says how many steps a volunteer must have done at a time since the grant:

    steps |                     .-----
          |                 .-'
          |             .-'
        0 |________.-'
          0     start_up      deadline_s

A lease is overdue when the curve is missed *and* the grace is over: the task's `grace_s` counts from the moment at
which the curve passed the last reported step. A slow start, a lost heartbeat or a short outage costs nobody the lease.
"""

from __future__ import annotations

import math

from paris.protocol.records import Heartbeat, Lease, Task

START_UP_FRACTION = 0.1
"""Share of the deadline that is left for fetching and setting up, before the first step is due."""
RENEW_FRACTION = 1 / 3
"""A lease is renewed after this share of its life, as every record is stored again."""


def expected_step(task: Task, since_grant_s: float) -> int:
    """Steps that the deadline curve demands.

    Args:
        task: Gives `steps` and `deadline_s`.
        since_grant_s: Seconds since the grant; negative counts as 0.

    Returns:
        0 to `task.steps`: 0 during start-up, then linear, `task.steps` from `deadline_s` on.
    """
    start_up_s = START_UP_FRACTION * task.deadline_s
    if since_grant_s >= task.deadline_s:
        return task.steps
    if since_grant_s <= start_up_s:
        return 0
    return math.floor(task.steps * (since_grant_s - start_up_s) / (task.deadline_s - start_up_s))


def is_behind(task: Task, step: int, since_grant_s: float) -> bool:
    """Whether the curve demands more than the reported step. A finished volunteer is never behind."""
    return step < expected_step(task, since_grant_s)


def curve_passes_at_s(task: Task, step: int) -> float:
    """Seconds since the grant at which the curve starts to demand more than `step`.

    For a finished step count it is the deadline itself: by then a submission was due.
    """
    start_up_s = START_UP_FRACTION * task.deadline_s
    share = min(step + 1, task.steps) / task.steps
    return start_up_s + share * (task.deadline_s - start_up_s)


def overdue(lease: Lease, task: Task, last_heartbeat: Heartbeat | None, now: float) -> bool:
    """Whether a lease may be taken back: the curve is missed and the grace is over.

    Args:
        lease: The granted lease.
        task: The task that it is for.
        last_heartbeat: The newest one known; None, or one of another lease or attempt, counts as step 0.
        now: UTC seconds.

    Returns:
        False for leases that are no longer granted: there is nothing to take back.
    """
    if lease.state != "granted":
        return False
    step = reported_step(lease, last_heartbeat)
    return now - lease.granted_at > curve_passes_at_s(task, step) + task.grace_s


def reported_step(lease: Lease, last_heartbeat: Heartbeat | None) -> int:
    """The step that a heartbeat proves for this lease and attempt; 0 without one."""
    if last_heartbeat is None:
        return 0
    same = last_heartbeat.lease_id == lease.lease_id and last_heartbeat.attempt == lease.attempt
    return last_heartbeat.step if same else 0


def renewal_due(lease: Lease, lease_s: float, now: float) -> bool:
    """Whether a granted lease has used up a third of its life and should be renewed, if there is progress."""
    return lease.state == "granted" and now >= lease.expires_at - (1 - RENEW_FRACTION) * lease_s


def renewed_expiry(lease: Lease, lease_s: float, now: float) -> float:
    """Until when a renewed lease holds, UTC seconds.

    Always later than before: the DHT keeps the record that expires later, so that a renewal that expired sooner would
    be lost.
    """
    return max(now + lease_s, math.nextafter(lease.expires_at, math.inf))
