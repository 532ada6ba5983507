"""What comes of audits: baits and votes, and the auditors' faults. Pure, like `tick`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from paris.coordinator.decisions.auditors import after_copied_claim
from paris.coordinator.decisions.baits import is_copied, is_right
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import with_fault
from paris.coordinator.state.audits import AuditOutcome, AuditState, AuditVote, Bait
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import open_audits
from paris.coordinator.state.model import LeaseState, SubmissionState

_VOTES_FOR_A_FAULT = 3
"""Of one stretch: whose vote differs from two others has a fault."""


def apply_bait(draft: Draft, audit: AuditState, bait: Bait, sketch: str, policy: Policy, now: float) -> None:
    """Take in what an auditor returned for a bait.

    Args:
        draft: The next state.
        audit: The auditor's.
        bait: What it was given.
        sketch: What it returned.
        policy: The numbers to decide by.
        now: UTC seconds.
    """
    if not is_copied(bait, sketch, policy):
        if is_right(bait, sketch, policy):
            draft.put_audit(audit.ended("right"))
            return
        _contradict(draft, audit, policy, now)
        void_audits(draft, audit.volunteer, "the volunteer returned another end than training leads to.")
        return
    draft.put_audit(audit.ended("wrong"))
    what = f"{audit.name} ({audit.volunteer[:8]}) returned a claim that was known to be wrong: it audits no more"
    draft.add_event(EventKind.PROBLEM, f"{audit.task_id}: {what}.")
    volunteer = draft.volunteers.get(audit.volunteer)
    if volunteer is not None:
        draft.put_volunteer(after_copied_claim(volunteer, policy, now))
    void_audits(draft, audit.volunteer, "the volunteer returned a claim that was known to be wrong.")


def void_audits(draft: Draft, volunteer: str, reason: str) -> None:
    """Let the audits of a volunteer that is not believed any more count for nothing; others are drawn in its place."""
    for audit in [audit for audit in open_audits(draft) if audit.volunteer == volunteer]:
        if audit.outcome == "waiting":
            end_audit(draft, audit, draft.leases[audit.lease_id], "void", reason)
        elif audit.outcome == "arrived":
            draft.put_audit(audit.ended("void"))


def count_votes(
    draft: Draft, known: SubmissionState, votes: Sequence[AuditVote], passed: bool, policy: Policy, now: float
) -> None:
    """Settle the audits of judged work; who is contradicted by two others, or by this machine, has a fault.

    Args:
        draft: The next state.
        known: The work.
        votes: Of its auditors.
        passed: Whether the work passed its replay, by the votes or by this machine's.
        policy: The numbers to decide by.
        now: UTC seconds.
    """
    arrived = [(vote, draft.audits[vote.lease_id]) for vote in votes if vote.lease_id in draft.audits]
    by_stretch = defaultdict[tuple[int, int], list[AuditVote]](list)
    for vote, audit in arrived:
        by_stretch[audit.start_step, audit.end_step].append(vote)
    for vote, audit in arrived:
        is_right = _is_right(vote, by_stretch[audit.start_step, audit.end_step], passed, known.is_replayed_here)
        if is_right is None:
            draft.put_audit(audit.ended("void"))
        elif is_right:
            draft.put_audit(audit.ended("right"))
        else:
            _contradict(draft, audit, policy, now)


def _is_right(vote: AuditVote, of_stretch: list[AuditVote], passed: bool, is_replayed_here: bool) -> bool | None:
    """Whether an auditor's end is the right one; None: nobody knows.

    One against one shows nothing: the other may be the cheat's friend. A no that this machine did not confirm may be
    an invention, or a copy of another's.
    """
    if vote.is_true is not None:
        return vote.is_true
    # Of refused work a stretch that most agreed with stands: another one was refused.
    stands = passed or 2 * sum(other.agrees for other in of_stretch) > len(of_stretch)
    is_contradicted = is_replayed_here or len(of_stretch) >= _VOTES_FOR_A_FAULT
    if is_replayed_here and not passed:  # this machine does not say which stretch it refused
        return None
    if vote.agrees:
        return stands or (False if is_contradicted else None)
    return False if stands and is_contradicted else None


def _contradict(draft: Draft, audit: AuditState, policy: Policy, now: float) -> None:
    draft.put_audit(audit.ended("wrong"))
    what = f"the audit of steps {audit.start_step} to {audit.end_step} by {audit.name} is contradicted"
    draft.add_event(EventKind.PROBLEM, f"{audit.task_id}: {what}.")
    volunteer = draft.volunteers.get(audit.volunteer)
    if volunteer is not None:
        draft.put_volunteer(with_fault(volunteer, policy, now))


def votes_stand(draft: Draft, votes: Iterable[AuditVote]) -> bool:
    """Whether no vote was voided while the work was judged; else it is judged again."""
    audits = [draft.audits.get(vote.lease_id) for vote in votes]
    return all(audit is not None and audit.outcome == "arrived" for audit in audits)


def end_audit(draft: Draft, audit: AuditState, held: LeaseState, outcome: AuditOutcome, reason: str) -> None:
    """End an audit of which nothing is waited for any more.

    Args:
        draft: The next state.
        audit: The audit.
        held: Its lease.
        outcome: What it ends with.
        reason: In words, for the auditor and the log.
    """
    draft.put_lease(held.revoked(reason))
    draft.put_audit(audit.model_copy(update={"outcome": outcome}))
    draft.add_event(EventKind.AUDIT, f"{audit.task_id}: the audit by {audit.name} ended: {reason}")
