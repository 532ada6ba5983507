"""How each observation changes the state: one function a kind. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.audit_ends import count_votes, votes_stand
from paris.coordinator.decisions.audits import apply_audit, open_audit
from paris.coordinator.decisions.challenges import apply_answer, challenge
from paris.coordinator.decisions.invited import admit
from paris.coordinator.decisions.observations import (
    AnswerReceived,
    AuditNeeded,
    AuditReceived,
    Closed,
    HeartbeatReceived,
    LanesAveraged,
    LanesLost,
    LegStored,
    NotRechecked,
    Observation,
    Rechecked,
    Registered,
    ReleaseEnded,
    ReleaseStage,
    RouterRequested,
    RouterTrained,
    SnapshotsNeeded,
    SubmissionReceived,
    VerificationFailed,
    Verified,
    WantReceived,
)
from paris.coordinator.decisions.parallel import end_others
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rechecked import apply_rechecked
from paris.coordinator.decisions.rechecks import give_up_recheck, recheck_earlier_legs
from paris.coordinator.decisions.relay import apply_leg_stored, settle_late, settle_waiting
from paris.coordinator.decisions.rounds import apply_lanes_averaged, apply_lanes_lost
from paris.coordinator.decisions.trust import replay_rate
from paris.coordinator.decisions.verdicts import apply_verdict, reject_submission
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import WAITING, ReleaseState, SubmissionState, VolunteerState
from paris.protocol.leases import last_step
from paris.protocol.run_records import Registration

LONGEST_RETRY_S = 600.0


def apply_observation(draft: Draft, observation: Observation, policy: Policy, now: float) -> None:
    """Change the draft by one observation; one seen before changes nothing."""
    match observation:
        case WantReceived():
            _apply_want(draft, observation, now)
        case HeartbeatReceived():
            _apply_heartbeat(draft, observation, now)
        case SubmissionReceived():
            _apply_submission(draft, observation, policy, now)
        case Verified():
            _apply_verified(draft, observation, policy, now)
        case Rechecked():
            apply_rechecked(draft, observation, policy, now)
        case NotRechecked(lease_id, reason):
            give_up_recheck(draft, lease_id, reason)
        case AuditNeeded():
            open_audit(draft, observation, now)
        case AuditReceived():
            apply_audit(draft, observation, policy, now)
        case SnapshotsNeeded():
            challenge(draft, observation, policy, now)
        case AnswerReceived():
            apply_answer(draft, observation, policy, now)
        case VerificationFailed():
            _retry_verification(draft, observation, policy, now)
        case Registered(registration):
            _apply_registration(draft, registration, policy, now)
        case LegStored():
            apply_leg_stored(draft, observation, policy, now)
        case LanesAveraged():
            apply_lanes_averaged(draft, observation, policy, now)
        case LanesLost():
            apply_lanes_lost(draft, observation, policy, now)
        case Closed(lease_id):
            _close_submission(draft, lease_id)
        case RouterTrained():
            _end_router_training(draft, observation)
        case RouterRequested(from_samples):
            _begin_router_training(draft, from_samples)
        case ReleaseStage(note):
            if draft.release.phase == "making":
                draft.release = draft.release.model_copy(update={"note": note})
        case ReleaseEnded():
            _end_release(draft, observation)


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
        admit(draft, key, received.invite, now)
        return
    if sequence <= known.want_sequence:
        return
    waiting_since = known.waiting_since if known.want.state == "waiting" else now
    update = {"want": want, "seen_at": seen_at, "want_sequence": sequence, "waiting_since": waiting_since}
    draft.put_volunteer(known.model_copy(update=update))
    admit(draft, key, received.invite, now)


def _apply_heartbeat(draft: Draft, received: HeartbeatReceived, now: float) -> None:
    beat, sequence = received.envelope.payload, received.envelope.sequence
    held = draft.leases.get(beat.lease_id)
    if held is None or held.lease.volunteer != received.envelope.signer or held.lease.attempt != beat.attempt:
        return
    if beat.task_id != held.lease.task_id or beat.step > last_step(held.lease, draft.tasks[beat.task_id].task):
        return
    if sequence <= held.heartbeat_sequence:
        return
    if held.heartbeat is not None and beat.step < held.heartbeat.step and beat.state == "training":
        draft.add_event(EventKind.RESUMED, f"{beat.task_id}: back at step {beat.step} from a snapshot.")
    # The state has the lease already.
    update = {"heartbeat": beat.model_copy(update={"lease": None}), "heartbeat_at": now, "heartbeat_sequence": sequence}
    draft.put_lease(held.model_copy(update=update))


def _apply_submission(draft: Draft, received: SubmissionReceived, policy: Policy, now: float) -> None:
    submission, signer = received.envelope.payload, received.envelope.signer
    held = draft.leases.get(submission.lease_id)
    task = draft.tasks.get(submission.task_id)
    if held is None or task is None or submission.lease_id in draft.submissions:
        return
    if held.lease.volunteer != signer or held.lease.attempt != submission.attempt or submission.pull_request is None:
        return
    if held.lease.task_id != submission.task_id or held.lease.audit is not None:
        return
    what = f"{submission.name} submitted pull request {submission.pull_request}."
    draft.add_event(EventKind.SUBMITTED, f"{submission.task_id}: {what}")
    envelope = received.envelope.data.decode()
    facts = submission.model_copy(update={"lease": None})
    rate = None if held.lease.draw_sha256 is None else replay_rate(draft.volunteers.get(signer), policy)
    known = SubmissionState(submission=facts, signer=signer, envelope=envelope, seen_at=now, replay_rate=rate)
    draft.put_submission(known)
    standing = draft.standings.get(signer)
    if standing is not None and standing.standing == "banned":
        reject_submission(draft, known, f"The volunteer is banned: {standing.reason}", policy, now)
        return
    if task.task.state == "leased" and task.lease_id == submission.lease_id:
        draft.put_task(task.submitted())
    settle_late(draft, known, policy, now)


def _apply_verified(draft: Draft, verified: Verified, policy: Policy, now: float) -> None:
    """Take in a verdict, and what it says of the audits that it took into account."""
    verdict, votes = verified.verdict, verified.votes
    before = draft.submissions.get(verdict.lease_id)
    if before is None or before.phase not in WAITING or not votes_stand(draft, votes):
        return
    apply_verdict(draft, verdict, policy, now, verified.head)
    known = draft.submissions[verdict.lease_id]
    replayed = next((rung for rung in verdict.rungs if rung.rung == "replay"), None)
    if known.phase in WAITING or replayed is None:
        return
    count_votes(draft, known, votes, replayed.passed, policy, now)
    if not replayed.passed:
        recheck_earlier_legs(draft, known, policy)
    if verified.baits and policy.audits:
        draft.put_submission(known.model_copy(update={"baits": verified.baits}))


def _retry_verification(draft: Draft, failed: VerificationFailed, policy: Policy, now: float) -> None:
    known = draft.submissions.get(failed.lease_id)
    if known is None or not (known.phase == "seen" or known.recheck):
        return
    if failed.trouble_s is not None:
        _wait_out_trouble(draft, known, failed.reason, failed.trouble_s, now)
        return
    tries = known.num_tries + 1
    if tries >= policy.max_tries and known.recheck:
        give_up_recheck(draft, failed.lease_id, f"{tries} tries failed: {failed.reason}")
        return
    if tries >= policy.max_tries:
        reject_submission(draft, known, f"Could not be verified after {tries} tries: {failed.reason}", policy, now)
        return
    wait_s = min(policy.retry_s * 2 ** (tries - 1), LONGEST_RETRY_S)
    what = f"verification will be tried again in {wait_s:.0f} s: {failed.reason}"
    draft.add_event(EventKind.RETRY, f"{known.submission.task_id}: {what}")
    draft.put_submission(known.model_copy(update={"num_tries": tries, "retry_at": now + wait_s}))


def _wait_out_trouble(draft: Draft, known: SubmissionState, reason: str, trouble_s: float, now: float) -> None:
    """Try again later, with no limit on the tries: trouble of the organiser's rejects no volunteer's work."""
    wait_s = min(trouble_s, LONGEST_RETRY_S)
    kind = EventKind.PROBLEM if wait_s == LONGEST_RETRY_S else EventKind.RETRY
    what = f"verification will be tried again in {wait_s:.0f} s: {reason}"
    draft.add_event(kind, f"{known.submission.task_id}: {what}")
    draft.put_submission(known.model_copy(update={"retry_at": now + wait_s}))


def _apply_registration(draft: Draft, registration: Registration, policy: Policy, now: float) -> None:
    task = draft.tasks.get(registration.task_id)
    known = draft.submissions.get(registration.lease_id)
    if task is None or known is None or task.registration is not None:
        return
    if known.phase != "accepted":
        return  # withdrawn by a roll-back while its weights were copied
    what = f"registered {registration.sha256[:12]} from {registration.volunteer_name}."
    draft.add_event(EventKind.REGISTERED, f"{registration.task_id}: {what}")
    end_others(draft, registration.task_id, registration.lease_id, "Another volunteer's work was registered.")
    draft.put_task(task.registered(registration))
    draft.put_submission(known.model_copy(update={"phase": "registered"}))
    settle_waiting(draft, registration.task_id, policy, now)


def _close_submission(draft: Draft, lease_id: str) -> None:
    known = draft.submissions.get(lease_id)
    if known is not None and known.phase in ("rejected", "repeated"):
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


def _end_release(draft: Draft, ended: ReleaseEnded) -> None:
    if draft.release.phase == "making":
        what = f"The model is released as {ended.note}." if ended.ok else f"There is no release: {ended.note}"
        draft.add_event(EventKind.ORDER, what)
        draft.release = ReleaseState(phase="done" if ended.ok else "failed", note=ended.note)
