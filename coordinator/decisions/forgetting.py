"""Old volunteers and leases are forgotten, so that the state of a long run does not grow. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.parallel import live_leases, shows_work
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import LeaseState
from paris.protocol.admission import LEASE_GRACE_S

_KEPT_ATTEMPTS = 16
"""Of each task; more than are ever published."""


def forget(draft: Draft, policy: Policy, now: float) -> None:
    """Drop volunteers that were not seen for `policy.forget_after_s` and hold no task, and leases of old attempts.

    A lease with a submission is kept, because its verdict is part of the run's record. One under which steps were
    reported is kept as long as peers take work under it: a machine that was off for a while hands in late.
    """
    live = {held.lease.lease_id: held.lease.volunteer for held in live_leases(draft)}
    holders = set(live.values())
    auditing = {audit.lease_id for audit in draft.audits.values() if audit.outcome == "waiting"}
    for key, volunteer in list(draft.volunteers.items()):
        if now - volunteer.seen_at > policy.forget_after_s and key not in holders:
            draft.drop_volunteer(key)
    for lease_id, held in list(draft.leases.items()):
        task = draft.tasks[held.lease.task_id]
        is_old = held.lease.attempt <= task.task.attempt - _KEPT_ATTEMPTS and now > _over_at(held)
        if is_old and lease_id not in draft.submissions and lease_id not in live and lease_id not in auditing:
            draft.drop_lease(lease_id)


def _over_at(held: LeaseState) -> float:
    """When nothing can come of a lease any more, UTC seconds."""
    return held.lease.expires_at + (LEASE_GRACE_S if shows_work(held) else 0.0)
