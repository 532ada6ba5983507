"""Who audits: the lot, and what becomes of an auditor's standing. Pure, like `tick`.

The lot is drawn by a secret among all present volunteers with verified work that take audits, busy ones too: who waits
at the door for a friend's audit is no likelier than others, and the judged volunteer cannot foresee or steer it.
"""

from __future__ import annotations

import hashlib
import hmac

from paris.coordinator.decisions.leases import is_welcome
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.sizes import can_hold, size_of
from paris.coordinator.decisions.trust import recent_faults, with_fault
from paris.coordinator.state.audits import OpenAudit
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import SubmissionState, VolunteerState


def drawn_for(draft: Draft, known: SubmissionState, audit: OpenAudit, policy: Policy, now: float) -> OpenAudit:
    """The audit with who is to do it: the one drawn before, or a new one if that one takes too long or is gone.

    Args:
        draft: The next state.
        known: The judged work.
        audit: What it waits for.
        policy: The numbers to decide by.
        now: UTC seconds.
    """
    had = auditors_of(draft, known.submission.lease_id)
    new = (v for v in draft.volunteers.values() if v.public_key not in had)
    eligible = {v.public_key for v in new if _may_audit(draft, v, known, policy, now)}
    if audit.drawn in eligible and now - audit.drawn_at <= policy.audit_draw_s:
        return audit
    others = eligible - {audit.drawn} or eligible
    if not others:
        return audit if audit.drawn is None else audit.model_copy(update={"drawn": None})
    leg, number = known.submission.lease_id, audit.round + 1
    drawn = min(others, key=lambda key: secret_number(policy, f"audit\n{leg}\n{number}\n{key}"))
    return audit.model_copy(update={"drawn": drawn, "drawn_at": now, "round": number})


def may_ever_be_audited(draft: Draft, known: SubmissionState) -> bool:
    """Whether anybody else has verified work, takes audits and had none of this work, present or not."""
    had = auditors_of(draft, known.submission.lease_id)
    others = (v for v in draft.volunteers.values() if v.public_key != known.signer)
    return any(v.num_proven > 0 and v.want.audits and v.public_key not in had for v in others)


def secret_number(policy: Policy, message: str) -> int:
    """A number in [0, 2^64) that nobody but the coordinator can tell."""
    key = bytes.fromhex(policy.draw_key)
    return int.from_bytes(hmac.new(key, message.encode(), hashlib.sha256).digest()[:8], "big")


def auditors_of(draft: Draft, leg: str) -> set[str]:
    """Keys of those that have, or had, an audit of a leg."""
    return {audit.volunteer for audit in draft.audits.values() if audit.leg == leg}


def after_copied_claim(volunteer: VolunteerState, policy: Policy, now: float) -> VolunteerState:
    """An auditor that returned a claim which was known to be wrong: it audits no more."""
    return with_fault(volunteer, policy, now).model_copy(update={"copied_at": now})


def _may_audit(draft: Draft, volunteer: VolunteerState, known: SubmissionState, policy: Policy, now: float) -> bool:
    want, task = volunteer.want, draft.tasks[known.submission.task_id].task
    is_present = want.state in ("waiting", "busy") and now - volunteer.seen_at <= policy.want_life_s
    is_trusted = volunteer.num_proven > 0 and recent_faults(volunteer, policy, now) == 0 and volunteer.copied_at == 0
    return (
        bool(want.audits)
        and is_present
        and is_trusted
        and volunteer.public_key != known.signer
        and is_welcome(draft, volunteer, policy)
        and can_hold(task, size_of(draft, known), volunteer)
    )
