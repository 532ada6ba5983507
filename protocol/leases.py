"""The deadline curve, when a lease is overdue, and when it is renewed. Pure functions.

The curve is the number of steps that a volunteer must have done at a time since the grant:

    to_step    |                     .-----
               |                 .-'
               |             .-'
    start_step |________.-'
               0     start_up      deadline

A leg has its share of the task's deadline. A lease is overdue `grace_s` seconds after the curve has passed the last
reported step. So a slow start, a lost heartbeat or a short outage does not cost the lease.
"""

from __future__ import annotations

import math

from paris.protocol.run_records import Task
from paris.protocol.work_records import Heartbeat, Lease

START_UP_FRACTION = 0.1
"""Share of the deadline before the first step is due, for fetching and setup."""
RENEW_FRACTION = 1 / 3
"""A lease is renewed after this share of its term."""


def first_step(lease: Lease) -> int:
    """The step that the leased work starts from; 0 without legs."""
    return lease.start_step or 0


def last_step(lease: Lease, task: Task) -> int:
    """The step at which the leased work ends; that of the task without legs."""
    return task.steps if lease.to_step is None else lease.to_step


def deadline_of(lease: Lease, task: Task) -> float:
    """Seconds from the grant until the leased work is due: its share of the task's deadline."""
    return task.deadline_s * (last_step(lease, task) - first_step(lease)) / task.steps


def expected_step(lease: Lease, task: Task, since_grant_s: float) -> int:
    """Steps due at a time since the grant.

    Args:
        lease: Its first and last step.
        task: Gives `steps` and `deadline_s`.
        since_grant_s: Seconds since the grant; negative counts as 0.

    Returns:
        The first step during start-up, then linear, the last step from the deadline on.
    """
    begin, end, deadline_s = first_step(lease), last_step(lease, task), deadline_of(lease, task)
    start_up_s = START_UP_FRACTION * deadline_s
    if since_grant_s >= deadline_s:
        return end
    if since_grant_s <= start_up_s:
        return begin
    return begin + math.floor((end - begin) * (since_grant_s - start_up_s) / (deadline_s - start_up_s))


def overtaken_after_s(lease: Lease, task: Task, step: int) -> float:
    """Seconds from the grant until the curve passes `step`.

    For a finished volunteer this is the deadline, when the submission is due.
    """
    begin, end, deadline_s = first_step(lease), last_step(lease, task), deadline_of(lease, task)
    start_up_s = START_UP_FRACTION * deadline_s
    share = (min(step + 1, end) - begin) / (end - begin)
    return start_up_s + share * (deadline_s - start_up_s)


def is_overdue(lease: Lease, task: Task, last_heartbeat: Heartbeat | None, now: float) -> bool:
    """Whether a lease may be revoked.

    Args:
        lease: The granted lease.
        task: The lease's task.
        last_heartbeat: The newest known; None, or one of another lease or attempt, counts as the first step.
        now: UTC seconds.

    Returns:
        False for leases that are no longer granted.
    """
    if lease.state != "granted":
        return False
    return now > overdue_at(lease, task, reported_step(lease, last_heartbeat))


def overdue_at(lease: Lease, task: Task, step: int) -> float:
    """UTC seconds until which a lease is kept if no step beyond `step` is reported; that of an audit has one end."""
    if lease.audit is not None:
        return lease.expires_at
    return lease.granted_at + overtaken_after_s(lease, task, step) + task.grace_s


def reported_step(lease: Lease, last_heartbeat: Heartbeat | None) -> int:
    """The step reported for this lease and attempt; the first step without a matching heartbeat."""
    begin = first_step(lease)
    if last_heartbeat is None:
        return begin
    same = last_heartbeat.lease_id == lease.lease_id and last_heartbeat.attempt == lease.attempt
    return max(begin, last_heartbeat.step) if same else begin


def is_renewal_due(lease: Lease, lease_s: float, now: float) -> bool:
    """Whether a granted lease should be renewed, provided that there is progress."""
    return lease.state == "granted" and now >= lease.expires_at - (1 - RENEW_FRACTION) * lease_s


def renewed_expiry(lease: Lease, lease_s: float, now: float) -> float:
    """Expiry of a renewed lease, UTC seconds.

    Always later than before, because the DHT keeps the record that expires later.
    """
    return max(now + lease_s, math.nextafter(lease.expires_at, math.inf))
