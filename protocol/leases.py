"""The deadline curve, when a lease is overdue, and when it is renewed. Pure functions.

The curve is the number of steps that a volunteer must have done at a time since the grant:

    steps |                     .-----
          |                 .-'
          |             .-'
        0 |________.-'
          0     start_up      deadline_s

A lease is overdue `grace_s` seconds after the curve has passed the last reported step. So a slow start, a lost
heartbeat or a short outage does not cost the lease.
"""

from __future__ import annotations

import math

from paris.protocol.records import Heartbeat, Lease, Task

START_UP_FRACTION = 0.1
"""Share of the deadline before the first step is due, for fetching and setup."""
RENEW_FRACTION = 1 / 3
"""A lease is renewed after this share of its term."""


def expected_step(task: Task, since_grant_s: float) -> int:
    """Steps due at a time since the grant.

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


def overtaken_after_s(task: Task, step: int) -> float:
    """Seconds from the grant until the curve passes `step`.

    For a finished volunteer this is the deadline, when the submission is due.
    """
    start_up_s = START_UP_FRACTION * task.deadline_s
    share = min(step + 1, task.steps) / task.steps
    return start_up_s + share * (task.deadline_s - start_up_s)


def is_overdue(lease: Lease, task: Task, last_heartbeat: Heartbeat | None, now: float) -> bool:
    """Whether a lease may be revoked.

    Args:
        lease: The granted lease.
        task: The lease's task.
        last_heartbeat: The newest known; None, or one of another lease or attempt, counts as step 0.
        now: UTC seconds.

    Returns:
        False for leases that are no longer granted.
    """
    if lease.state != "granted":
        return False
    step = reported_step(lease, last_heartbeat)
    return now - lease.granted_at > overtaken_after_s(task, step) + task.grace_s


def reported_step(lease: Lease, last_heartbeat: Heartbeat | None) -> int:
    """The step reported for this lease and attempt; 0 without a matching heartbeat."""
    if last_heartbeat is None:
        return 0
    same = last_heartbeat.lease_id == lease.lease_id and last_heartbeat.attempt == lease.attempt
    return last_heartbeat.step if same else 0


def is_renewal_due(lease: Lease, lease_s: float, now: float) -> bool:
    """Whether a granted lease should be renewed, provided that there is progress."""
    return lease.state == "granted" and now >= lease.expires_at - (1 - RENEW_FRACTION) * lease_s


def renewed_expiry(lease: Lease, lease_s: float, now: float) -> float:
    """Expiry of a renewed lease, UTC seconds.

    Always later than before, because the DHT keeps the record that expires later.
    """
    return max(now + lease_s, math.nextafter(lease.expires_at, math.inf))
