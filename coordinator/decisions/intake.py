"""How each observation changes the state; one function a kind. Pure, as `tick` is."""

from __future__ import annotations

from paris.coordinator.decisions.observations import (
    Beaten,
    Closed,
    Judged,
    JudgingFailed,
    Observation,
    Registered,
    RouterTrained,
    RouterWanted,
    Submitted,
    Wanted,
)
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import State, SubmissionState, VolunteerState
from paris.protocol.records import Registration, Verdict

_LONGEST_RETRY_S = 600.0


def absorb(state: State, observation: Observation, policy: Policy, now: float, events: list[Event]) -> State:
    """Take one observation in; `events` receives what people should read."""
    match observation:
        case Wanted():
            return _wanted(state, observation, now, events)
        case Beaten():
            return _beaten(state, observation, now, events)
        case Submitted():
            return _submitted(state, observation, now, events)
        case Judged(verdict):
            return _judged(state, verdict, events)
        case JudgingFailed():
            return _judging_failed(state, observation, policy, now, events)
        case Registered(registration):
            return _registered(state, registration, events)
        case Closed(lease_id):
            return _closed(state, lease_id)
        case RouterTrained() if state.router.phase != "training":
            return state
        case RouterTrained(ok, note):
            events.append(Event("router", note))
            return state.with_router(
                state.router.model_copy(update={"phase": "done" if ok else "failed", "note": note})
            )
        case RouterWanted(from_samples):
            if state.router.phase == "training":
                return state
            asked = {"phase": "training", "note": "", "from_samples": from_samples}
            return state.with_router(state.router.model_copy(update=asked))


def _wanted(state: State, seen: Wanted, now: float, events: list[Event]) -> State:
    want, key = seen.envelope.payload, seen.envelope.signer
    # A record may have lain in the DHT while nobody looked: it tells of the time when it was written.
    seen_at = min(now, seen.envelope.issued_at)
    known = state.volunteers.get(key)
    if known is None:
        events.append(
            Event("joined", f"{want.name} ({key[:8]}) joined: {want.device}, {want.memory_bytes / 2**30:.1f} GiB.")
        )
        return state.with_volunteer(
            VolunteerState(
                public_key=key, want=want, seen_at=seen_at, want_sequence=seen.envelope.sequence, waiting_since=now
            )
        )
    if seen.envelope.sequence <= known.want_sequence:
        return state
    waiting_since = known.waiting_since if known.want.state == "waiting" else now
    update = {"want": want, "seen_at": seen_at, "want_sequence": seen.envelope.sequence, "waiting_since": waiting_since}
    return state.with_volunteer(known.model_copy(update=update))


def _beaten(state: State, seen: Beaten, now: float, events: list[Event]) -> State:
    beat = seen.envelope.payload
    held = state.leases.get(beat.lease_id)
    if held is None or held.lease.volunteer != seen.envelope.signer or held.lease.attempt != beat.attempt:
        return state
    if beat.task_id != held.lease.task_id or beat.step > state.tasks[beat.task_id].task.steps:
        return state
    if seen.envelope.sequence <= held.heartbeat_sequence:
        return state
    if held.heartbeat is not None and beat.step < held.heartbeat.step and beat.state == "training":
        events.append(Event("resumed", f"{beat.task_id}: back at step {beat.step} from a snapshot."))
    update = {"heartbeat": beat, "heartbeat_at": now, "heartbeat_sequence": seen.envelope.sequence}
    return state.with_lease(held.model_copy(update=update))


def _submitted(state: State, seen: Submitted, now: float, events: list[Event]) -> State:
    submission, signer = seen.envelope.payload, seen.envelope.signer
    held = state.leases.get(submission.lease_id)
    task = state.tasks.get(submission.task_id)
    if held is None or task is None or submission.lease_id in state.submissions:
        return state
    if held.lease.volunteer != signer or held.lease.attempt != submission.attempt or submission.pull_request is None:
        return state
    if held.lease.task_id != submission.task_id:
        return state
    events.append(
        Event("submitted", f"{submission.task_id}: {submission.name} submitted pull request {submission.pull_request}.")
    )
    state = state.with_submission(
        SubmissionState(submission=submission, signer=signer, envelope=seen.envelope.data.decode(), seen_at=now)
    )
    if task.task.state == "leased" and task.lease_id == submission.lease_id:
        state = state.with_task(task.model_copy(update={"task": task.task.model_copy(update={"state": "submitted"})}))
    return state


def _judged(state: State, verdict: Verdict, events: list[Event]) -> State:
    known = state.submissions.get(verdict.lease_id)
    if known is None or known.phase != "seen":
        return state
    task = state.tasks[verdict.task_id]
    if verdict.accepted and (task.registration is not None or _has_accepted(state, verdict)):
        reason = f"Other work for {verdict.task_id} was accepted while this was judged; this work itself passed."
        verdict = verdict.model_copy(update={"accepted": False, "reason": reason})
    word = "accepted" if verdict.accepted else "rejected"
    events.append(Event(word, f"{verdict.task_id}: {known.submission.name} {word}. {verdict.reason}"))
    state = state.with_submission(known.model_copy(update={"phase": word, "verdict": verdict}))
    volunteer = state.volunteers.get(known.signer)
    if volunteer is not None:
        count = "num_accepted" if verdict.accepted else "num_rejected"
        state = state.with_volunteer(volunteer.model_copy(update={count: getattr(volunteer, count) + 1}))
    if not verdict.accepted and task.lease_id == verdict.lease_id and not _has_accepted(state, verdict):
        state = _reopen(state, verdict.task_id)
    return state


def _has_accepted(state: State, verdict: Verdict) -> bool:
    """Whether other work for this task is on its way to registration: two copies would undo each other."""
    return any(
        s.submission.task_id == verdict.task_id and s.phase in ("accepted", "registered")
        for lease_id, s in state.submissions.items()
        if lease_id != verdict.lease_id
    )


def _judging_failed(state: State, failed: JudgingFailed, policy: Policy, now: float, events: list[Event]) -> State:
    known = state.submissions.get(failed.lease_id)
    if known is None or known.phase != "seen":
        return state
    tries = known.num_tries + 1
    if tries >= policy.max_tries:
        s = known.submission
        verdict = Verdict(
            lease_id=s.lease_id,
            task_id=s.task_id,
            attempt=s.attempt,
            volunteer=known.signer,
            accepted=False,
            reason=f"Could not be verified after {tries} tries: {failed.reason}"[:300],
            rungs=(),
        )
        return _judged(state, verdict, events)
    wait_s = min(policy.retry_s * 2 ** (tries - 1), _LONGEST_RETRY_S)
    events.append(
        Event(
            "retry", f"{known.submission.task_id}: verification will be tried again in {wait_s:.0f} s: {failed.reason}"
        )
    )
    return state.with_submission(known.model_copy(update={"num_tries": tries, "retry_at": now + wait_s}))


def _registered(state: State, registration: Registration, events: list[Event]) -> State:
    task = state.tasks.get(registration.task_id)
    known = state.submissions.get(registration.lease_id)
    if task is None or known is None or task.registration is not None:
        return state
    events.append(
        Event(
            "registered",
            f"{registration.task_id}: registered {registration.sha256[:12]} from {registration.volunteer_name}.",
        )
    )
    other = state.leases.get(task.lease_id or "")
    if other is not None and other.lease.lease_id != registration.lease_id:
        revoked = other.lease.model_copy(
            update={"state": "revoked", "reason": "An earlier volunteer's work was registered."}
        )
        state = state.with_lease(other.model_copy(update={"lease": revoked}))
    closed_task = task.task.model_copy(update={"state": "registered"})
    state = state.with_task(
        task.model_copy(update={"task": closed_task, "registration": registration, "lease_id": None})
    )
    return state.with_submission(known.model_copy(update={"phase": "registered"}))


def _closed(state: State, lease_id: str) -> State:
    known = state.submissions.get(lease_id)
    if known is None or known.phase != "rejected":
        return state
    return state.with_submission(known.model_copy(update={"phase": "closed"}))


def _reopen(state: State, task_id: str) -> State:
    task = state.tasks[task_id]
    if task.registration is not None:
        return state
    return state.with_task(
        task.model_copy(update={"task": task.task.model_copy(update={"state": "open"}), "lease_id": None})
    )
