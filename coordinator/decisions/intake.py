"""How each observation changes the state: one function a kind. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.observations import (
    Closed,
    HeartbeatReceived,
    Observation,
    Registered,
    RouterRequested,
    RouterTrained,
    SubmissionReceived,
    VerificationFailed,
    Verified,
    WantReceived,
)
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import with_accepted_work, with_fault
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import SubmissionState, VolunteerState
from paris.protocol.records import Registration, Verdict

LONGEST_RETRY_S = 600.0


def apply_observation(draft: Draft, observation: Observation, policy: Policy, now: float) -> None:
    """Change the draft by one observation; one seen before changes nothing."""
    match observation:
        case WantReceived():
            _apply_want(draft, observation, now)
        case HeartbeatReceived():
            _apply_heartbeat(draft, observation, now)
        case SubmissionReceived():
            _apply_submission(draft, observation, now)
        case Verified(verdict):
            if _apply_verdict(draft, verdict) and not all(rung.passed for rung in verdict.rungs):
                _count_fault(draft, verdict.volunteer, policy, now)
        case VerificationFailed():
            _retry_verification(draft, observation, policy, now)
        case Registered(registration):
            _apply_registration(draft, registration)
        case Closed(lease_id):
            _close_submission(draft, lease_id)
        case RouterTrained():
            _end_router_training(draft, observation)
        case RouterRequested(from_samples):
            _begin_router_training(draft, from_samples)


def _apply_want(draft: Draft, received: WantReceived, now: float) -> None:
    want, key, sequence = received.envelope.payload, received.envelope.signer, received.envelope.sequence
    age_s = now - received.envelope.issued_at if received.age_s is None else received.age_s
    seen_at = now - max(0.0, age_s)
    known = draft.volunteers.get(key)
    if known is None:
        memory_gib = want.memory_bytes / 2**30
        draft.add_event(EventKind.JOINED, f"{want.name} ({key[:8]}) joined: {want.device}, {memory_gib:.1f} GiB.")
        draft.put_volunteer(
            VolunteerState(public_key=key, want=want, seen_at=seen_at, want_sequence=sequence, waiting_since=now)
        )
        return
    if sequence <= known.want_sequence:
        return
    waiting_since = known.waiting_since if known.want.state == "waiting" else now
    update = {"want": want, "seen_at": seen_at, "want_sequence": sequence, "waiting_since": waiting_since}
    draft.put_volunteer(known.model_copy(update=update))


def _apply_heartbeat(draft: Draft, received: HeartbeatReceived, now: float) -> None:
    beat, sequence = received.envelope.payload, received.envelope.sequence
    held = draft.leases.get(beat.lease_id)
    if held is None or held.lease.volunteer != received.envelope.signer or held.lease.attempt != beat.attempt:
        return
    if beat.task_id != held.lease.task_id or beat.step > draft.tasks[beat.task_id].task.steps:
        return
    if sequence <= held.heartbeat_sequence:
        return
    if held.heartbeat is not None and beat.step < held.heartbeat.step and beat.state == "training":
        draft.add_event(EventKind.RESUMED, f"{beat.task_id}: back at step {beat.step} from a snapshot.")
    update = {"heartbeat": beat, "heartbeat_at": now, "heartbeat_sequence": sequence}
    draft.put_lease(held.model_copy(update=update))


def _apply_submission(draft: Draft, received: SubmissionReceived, now: float) -> None:
    submission, signer = received.envelope.payload, received.envelope.signer
    held = draft.leases.get(submission.lease_id)
    task = draft.tasks.get(submission.task_id)
    if held is None or task is None or submission.lease_id in draft.submissions:
        return
    if held.lease.volunteer != signer or held.lease.attempt != submission.attempt or submission.pull_request is None:
        return
    if held.lease.task_id != submission.task_id:
        return
    what = f"{submission.name} submitted pull request {submission.pull_request}."
    draft.add_event(EventKind.SUBMITTED, f"{submission.task_id}: {what}")
    envelope = received.envelope.data.decode()
    known = SubmissionState(submission=submission, signer=signer, envelope=envelope, seen_at=now)
    draft.put_submission(known)
    standing = draft.standings.get(signer)
    if standing is not None and standing.standing == "banned":
        reject_submission(draft, known, f"The volunteer is banned: {standing.reason}")
        return
    if task.task.state == "leased" and task.lease_id == submission.lease_id:
        draft.put_task(task.submitted())


def _apply_verdict(draft: Draft, verdict: Verdict) -> bool:
    """Take in a verdict; False if the submission has one already."""
    known = draft.submissions.get(verdict.lease_id)
    if known is None or known.phase != "seen":
        return False
    task = draft.tasks[verdict.task_id]
    other_accepted = _has_other_accepted(draft, verdict)
    if verdict.accepted and (task.registration is not None or other_accepted):
        reason = f"Other work for {verdict.task_id} was accepted while this was judged; this work itself passed."
        verdict = verdict.model_copy(update={"accepted": False, "reason": reason})
    kind = EventKind.ACCEPTED if verdict.accepted else EventKind.REJECTED
    draft.add_event(kind, f"{verdict.task_id}: {known.submission.name} {kind}. {verdict.reason}")
    if not verdict.accepted and _was_rejected_before(draft, known):
        what = "the same weights were rejected before. Training is deterministic, so honest work may be refused here"
        draft.add_event(EventKind.PROBLEM, f"{verdict.task_id}: {what}: compare the bound under [verify].")
    draft.put_submission(known.model_copy(update={"phase": kind.value, "verdict": verdict}))
    volunteer = draft.volunteers.get(known.signer)
    if volunteer is not None:
        rejected = volunteer.model_copy(update={"num_rejected": volunteer.num_rejected + 1})
        draft.put_volunteer(with_accepted_work(volunteer) if verdict.accepted else rejected)
    is_held = task.lease_id == verdict.lease_id and task.registration is None
    if not verdict.accepted and is_held and not other_accepted:
        draft.put_task(task.reopened())
    return True


def _count_fault(draft: Draft, key: str, policy: Policy, now: float) -> None:
    volunteer = draft.volunteers.get(key)
    if volunteer is not None:
        draft.put_volunteer(with_fault(volunteer, policy, now))


def reject_submission(draft: Draft, known: SubmissionState, reason: str) -> None:
    """Reject a submission without a verification."""
    s = known.submission
    verdict = Verdict(
        lease_id=s.lease_id,
        task_id=s.task_id,
        attempt=s.attempt,
        volunteer=known.signer,
        accepted=False,
        reason=reason[:300],
        rungs=(),
    )
    _apply_verdict(draft, verdict)


def _was_rejected_before(draft: Draft, known: SubmissionState) -> bool:
    """Whether a rung refused the same files for the same task before."""
    digests = {file.sha256 for file in known.submission.files}
    return any(
        digests == {file.sha256 for file in other.submission.files} and not all(r.passed for r in other.verdict.rungs)
        for other in draft.submissions.values()
        if other.verdict is not None and other.submission.task_id == known.submission.task_id and other is not known
        if not other.verdict.accepted and other.submission.lease_id != known.submission.lease_id
    )


def _has_other_accepted(draft: Draft, verdict: Verdict) -> bool:
    """Whether other work for this task is accepted or registered: a second copy would replace the first."""
    return any(
        s.submission.task_id == verdict.task_id and s.phase in ("accepted", "registered")
        for lease_id, s in draft.submissions.items()
        if lease_id != verdict.lease_id
    )


def _retry_verification(draft: Draft, failed: VerificationFailed, policy: Policy, now: float) -> None:
    known = draft.submissions.get(failed.lease_id)
    if known is None or known.phase != "seen":
        return
    tries = known.num_tries + 1
    if tries >= policy.max_tries:
        reject_submission(draft, known, f"Could not be verified after {tries} tries: {failed.reason}")
        return
    wait_s = min(policy.retry_s * 2 ** (tries - 1), LONGEST_RETRY_S)
    what = f"verification will be tried again in {wait_s:.0f} s: {failed.reason}"
    draft.add_event(EventKind.RETRY, f"{known.submission.task_id}: {what}")
    draft.put_submission(known.model_copy(update={"num_tries": tries, "retry_at": now + wait_s}))


def _apply_registration(draft: Draft, registration: Registration) -> None:
    task = draft.tasks.get(registration.task_id)
    known = draft.submissions.get(registration.lease_id)
    if task is None or known is None or task.registration is not None:
        return
    what = f"registered {registration.sha256[:12]} from {registration.volunteer_name}."
    draft.add_event(EventKind.REGISTERED, f"{registration.task_id}: {what}")
    other = draft.leases.get(task.lease_id or "")
    if other is not None and other.lease.lease_id != registration.lease_id:
        draft.put_lease(other.revoked("An earlier volunteer's work was registered."))
    draft.put_task(task.registered(registration))
    draft.put_submission(known.model_copy(update={"phase": "registered"}))


def _close_submission(draft: Draft, lease_id: str) -> None:
    known = draft.submissions.get(lease_id)
    if known is not None and known.phase == "rejected":
        draft.put_submission(known.model_copy(update={"phase": "closed"}))


def _end_router_training(draft: Draft, trained: RouterTrained) -> None:
    if draft.router.phase == "training":
        draft.add_event(EventKind.ROUTER, trained.note)
        update = {"phase": "done" if trained.ok else "failed", "note": trained.note}
        draft.router = draft.router.model_copy(update=update)


def _begin_router_training(draft: Draft, from_samples: bool) -> None:
    if draft.router.phase != "training":
        update = {"phase": "training", "note": "", "from_samples": from_samples}
        draft.router = draft.router.model_copy(update=update)
