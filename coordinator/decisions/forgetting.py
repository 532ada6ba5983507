"""Old volunteers and leases are forgotten, so that the state of a long run does not grow. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.parallel import live_leases, shows_work
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.indexes import open_audits
from paris.coordinator.state.model import LeaseState, VolunteerState
from paris.protocol.admission import LEASE_GRACE_S

_KEPT_ATTEMPTS = 16
"""Of each task; more than are ever published."""


def forget(draft: Draft, policy: Policy, now: float) -> None:
    """Drop volunteers that were not seen for long and hold no task, and leases of old attempts.

    A lease with a submission is kept, because its verdict is part of the run's record. One under which steps were
    reported is kept as long as peers take work under it: a machine that was off for a while hands in late.
    """
    live = {held.lease.lease_id: held.lease.volunteer for held in live_leases(draft)}
    holders = set(live.values())
    auditing = {audit.lease_id for audit in open_audits(draft) if audit.outcome == "waiting"}
    oldest = now - min(policy.forget_after_s, policy.forget_fresh_after_s)
    for volunteer in [v for v in draft.volunteers.values() if v.seen_at < oldest]:
        after_s = policy.forget_fresh_after_s if _is_fresh(volunteer) else policy.forget_after_s
        if now - volunteer.seen_at > after_s and volunteer.public_key not in holders:
            draft.drop_volunteer(volunteer.public_key)
    for lease_id in draft.indexes.unused_leases.ids():
        held = draft.leases[lease_id]
        is_old = held.lease.attempt <= draft.tasks[held.lease.task_id].task.attempt - _KEPT_ATTEMPTS
        if is_old and now > _over_at(held) and lease_id not in live and lease_id not in auditing:
            draft.drop_lease(lease_id)


def _is_fresh(volunteer: VolunteerState) -> bool:
    """Whether nothing came of a volunteer yet: it is forgotten like a key that never came."""
    came_of = (volunteer.num_accepted, volunteer.num_rejected, volunteer.num_revoked, volunteer.num_faults)
    return not any(came_of) and not volunteer.invites and not volunteer.copied_at


def _over_at(held: LeaseState) -> float:
    """When nothing can come of a lease any more, UTC seconds."""
    return held.lease.expires_at + (LEASE_GRACE_S if shows_work(held) else 0.0)
