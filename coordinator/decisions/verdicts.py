"""How a verdict changes the state. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.draws import draw_secret
from paris.coordinator.decisions.legs import head_commitment, start_of
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import with_accepted_work, with_fault
from paris.coordinator.state.credits import seconds_of
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import submissions_of
from paris.coordinator.state.model import WAITING, LeaseState, SubmissionState, TaskState
from paris.protocol.leases import first_step
from paris.protocol.work_records import Verdict


def apply_verdict(draft: Draft, verdict: Verdict, policy: Policy, now: float, head: str | None = None) -> None:
    """Take in a verdict, unless the submission has one already, or must be judged again.

    Args:
        draft: The next state.
        verdict: On a submission.
        policy: The numbers to decide by.
        now: UTC seconds.
        head: Commitment of the task's head when the verification of a leg began; None: there was none.
    """
    known = draft.submissions.get(verdict.lease_id)
    if known is None or known.phase not in WAITING:
        return
    task, held = draft.tasks[verdict.task_id], draft.leases[verdict.lease_id]
    is_leg = held.lease.start_step is not None
    other_accepted = _has_other_accepted(draft, verdict, is_leg)
    if verdict.accepted and is_leg:
        if other_accepted or head != head_commitment(task.task):
            return  # judged when the task's head or expert is stored
        verdict = _with_credit(verdict, known, task, held)
    elif verdict.accepted and (task.registration is not None or other_accepted):
        reason = f"Other work for {verdict.task_id} was accepted while this was judged; this work itself passed."
        verdict = verdict.model_copy(update={"accepted": False, "reason": reason})
    _settle(draft, known, verdict, policy, "accepted" if verdict.accepted else "rejected")
    if not verdict.accepted and _was_rejected_before(draft, known):
        what = "the same weights were rejected before. Training is deterministic, so honest work may be refused here"
        draft.add_event(EventKind.PROBLEM, f"{verdict.task_id}: {what}: compare the bound under [verify].")
    _count(draft, known, verdict, policy, now)
    is_held = task.lease_id == verdict.lease_id and task.registration is None
    if not verdict.accepted and is_held and not other_accepted:
        draft.put_task(task.reopened())


def reject_submission(draft: Draft, known: SubmissionState, reason: str, policy: Policy, now: float) -> None:
    """Reject a submission without a verification; that is no fault of its volunteer."""
    apply_verdict(draft, verdict_without_rungs(known, reason, accepted=False), policy, now)


def accept_repeat(draft: Draft, known: SubmissionState, reason: str, policy: Policy) -> None:
    """Accept a leg that another volunteer's verified leg equals: credit, but it proves no work, so it clears no fault.

    The repeated steps count, although they moved no head.
    """
    held, s = draft.leases[known.submission.lease_id], known.submission
    verdict = verdict_without_rungs(known, reason, accepted=True)
    steps = s.steps - first_step(held.lease)
    update = {"credit_steps": steps, "credit_s": seconds_of(known, held)}
    _settle(draft, known, verdict.model_copy(update=update), policy, "repeated")


def verdict_without_rungs(known: SubmissionState, reason: str, *, accepted: bool) -> Verdict:
    """A verdict on a submission that no rung judged."""
    s = known.submission
    return Verdict(
        lease_id=s.lease_id,
        task_id=s.task_id,
        attempt=s.attempt,
        volunteer=known.signer,
        accepted=accepted,
        reason=reason[:300],
        rungs=(),
    )


def _settle(draft: Draft, known: SubmissionState, verdict: Verdict, policy: Policy, phase: str) -> None:
    """Keep a verdict; the draw secret of its lease, where there is one, is revealed with it."""
    if draft.leases[verdict.lease_id].lease.draw_sha256 is not None:
        revealed = {"draw_secret": draw_secret(policy.draw_key, verdict.lease_id), "replay_rate": known.replay_rate}
        verdict = verdict.model_copy(update=revealed)
    kind = EventKind.ACCEPTED if verdict.accepted else EventKind.REJECTED
    draft.add_event(kind, f"{verdict.task_id}: {known.submission.name} {kind}. {verdict.reason}")
    draft.put_submission(
        known.model_copy(update={"phase": phase, "verdict": verdict, "challenge": None, "audit": None})
    )


def _with_credit(verdict: Verdict, known: SubmissionState, task: TaskState, held: LeaseState) -> Verdict:
    """The verdict with the steps by which the work moves the head, and the time that it took."""
    begin = max(first_step(held.lease), start_of(task.task))
    update = {"credit_steps": max(0, known.submission.steps - begin), "credit_s": seconds_of(known, held)}
    return verdict.model_copy(update=update)


def _count(draft: Draft, known: SubmissionState, verdict: Verdict, policy: Policy, now: float) -> None:
    """Count the verdict for the volunteer; a fault is work that a rung refused."""
    volunteer = draft.volunteers.get(known.signer)
    if volunteer is None:
        return
    if verdict.accepted:
        draft.put_volunteer(with_accepted_work(volunteer))
        return
    rejected = volunteer.model_copy(update={"num_rejected": volunteer.num_rejected + 1})
    passed = all(rung.passed for rung in verdict.rungs)
    if passed:
        draft.put_volunteer(rejected)
        return
    draft.put_volunteer(with_fault(rejected.model_copy(update={"num_proven": 0}), policy, now))


def _was_rejected_before(draft: Draft, known: SubmissionState) -> bool:
    """Whether a rung refused the same files for the same task before."""
    digests = {file.sha256 for file in known.submission.files}
    return any(
        digests == {file.sha256 for file in other.submission.files} and not all(r.passed for r in other.verdict.rungs)
        for other in submissions_of(draft, known.submission.task_id)
        if other.verdict is not None and other.submission.task_id == known.submission.task_id and other is not known
        if not other.verdict.accepted and other.submission.lease_id != known.submission.lease_id
    )


def _has_other_accepted(draft: Draft, verdict: Verdict, is_leg: bool) -> bool:
    """Whether other work for this task is accepted or registered: a second copy would replace the first.

    Of a leg only work that is not stored yet counts: a stored leg is the task's head.
    """
    phases = ("accepted",) if is_leg else ("accepted", "registered")
    return any(
        s.submission.task_id == verdict.task_id and s.phase in phases
        for s in submissions_of(draft, verdict.task_id)
        if s.submission.lease_id != verdict.lease_id
    )
