"""Baits: audits of claims that are known to be wrong, given in place of others. Pure, like `tick`.

An auditor cannot tell one from its lease. Who returns the sketch of the claim, or any other than that of the end which
the organiser's machine reached, has not trained.
"""

from __future__ import annotations

from paris.coordinator.decisions.auditors import auditors_of, secret_number
from paris.coordinator.decisions.legs import kept_heads
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.sizes import size_of
from paris.coordinator.state.audits import Bait, OpenAudit
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import SubmissionState
from paris.protocol.audits import apart, unpacked

_COPY_SHARE = 0.5
"""Of the bound: so near a wrong claim, which lies beyond the bound, is nobody by training."""


def bait_for(
    draft: Draft, known: SubmissionState, audit: OpenAudit, auditor: str, policy: Policy
) -> tuple[SubmissionState, Bait] | None:
    """Take a bait for an auditor, now and then; None: it gets the audit itself.

    Args:
        draft: The next state; the bait is taken out of it.
        known: The work that waits for the audit.
        audit: What it waits for.
        auditor: Key of the drawn volunteer.
        policy: The numbers to decide by.
    """
    before = sum(other.volunteer == auditor for other in draft.audits.values())
    if not is_bait_drawn(known.submission.lease_id, audit.round, auditor, before, policy):
        return None
    for refused in draft.submissions.values():
        if refused.signer == auditor or not refused.baits:
            continue
        if auditor in auditors_of(draft, refused.submission.lease_id):
            continue
        if size_of(draft, refused) != size_of(draft, known):  # the auditor's machine may hold no other
            continue
        bait = refused.baits[0]
        if bait.right is None:
            continue
        if bait.start is None or _is_kept(draft, refused.submission.task_id, bait.start.commitment):
            draft.put_submission(refused.model_copy(update={"baits": refused.baits[1:]}))
            return refused, bait
    return None


def is_bait_drawn(leg: str, number: int, auditor: str, before: int, policy: Policy) -> bool:
    """Whether an auditor is to get a bait in place of an audit, if there is one for it.

    Args:
        leg: Lease id of the work that waits for the audit.
        number: Of the lot that drew the auditor.
        auditor: Key of the drawn volunteer.
        before: Audits that it had before.
        policy: The numbers to decide by.
    """
    message = f"bait\n{leg}\n{number}\n{auditor}\n{before}"
    return secret_number(policy, message) < policy.bait_rate * 2**64


def is_copied(bait: Bait, sketch: str, policy: Policy) -> bool:
    """Whether an auditor returned the wrong claim."""
    return max(apart(bait.claim, unpacked(sketch))) <= _COPY_SHARE * policy.replay_bound


def is_right(bait: Bait, sketch: str, policy: Policy) -> bool:
    """Whether an auditor ended where the organiser's machine did, within rounding, as far as that is known."""
    return bait.right is None or max(apart(bait.right, unpacked(sketch))) <= policy.replay_bound


def _is_kept(draft: Draft, task_id: str, commitment: str) -> bool:
    """Whether a state is one of a task's kept heads, so that an auditor can fetch it."""
    kept = kept_heads(draft.tasks, draft.submissions.values(), task_id)
    return any(head.commitment == commitment for head in kept)
