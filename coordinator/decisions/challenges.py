"""Challenges: asking for snapshots of handed-in work, so that a stretch of it can be replayed. Pure, like `tick`.

A submission that waits for an answer is not verified meanwhile. One that is not answered in time is refused.
"""

from __future__ import annotations

from paris.coordinator.decisions.observations import AnswerReceived, SnapshotsNeeded
from paris.coordinator.decisions.policy import AFTER_START_S, Policy
from paris.coordinator.decisions.relay import settle_late
from paris.coordinator.decisions.verdicts import apply_verdict, verdict_without_rungs
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import unsettled
from paris.coordinator.state.model import SubmissionState
from paris.protocol.counted import numbered
from paris.protocol.hub_layout import snapshot_paths, submission_folder
from paris.protocol.work_records import Answer, Challenge, Rung


def challenge(draft: Draft, needed: SnapshotsNeeded, policy: Policy, now: float) -> None:
    """Ask the volunteer for the snapshots that verification needs; what was answered already is not asked for again."""
    known = draft.submissions.get(needed.lease_id)
    if known is None or known.phase != "seen":
        return
    s = known.submission
    steps = numbered("step", needed.steps)
    if any(_covers(known, answer, step) for answer in known.answers for step in needed.steps):
        note = f"the state at {steps} was asked for, and the answer does not serve"
        _refuse(draft, known, needed.steps, note, policy, now)
        return
    asked = Challenge(
        lease_id=s.lease_id,
        task_id=s.task_id,
        attempt=s.attempt,
        volunteer=known.signer,
        steps=needed.steps,
        answer_until=now + policy.answer_s,
    )
    draft.put_submission(known.model_copy(update={"phase": "challenged", "challenge": asked}))
    draft.add_event(EventKind.CHALLENGED, f"{s.task_id}: {s.name} was asked for the state at {steps}.")


def apply_answer(draft: Draft, received: AnswerReceived, policy: Policy, now: float) -> None:
    """Take in an answer that has every snapshot that was asked for; verification goes on, unless the task went on."""
    answer = received.envelope.payload.model_copy(update={"lease": None})
    known = draft.submissions.get(answer.lease_id)
    if known is None or known.challenge is None or known.signer != received.envelope.signer:
        return
    if not all(_covers(known, answer, step) for step in known.challenge.steps):
        return
    update = {"phase": "seen", "challenge": None, "answers": (*known.answers, answer), "retry_at": 0.0}
    known = known.model_copy(update=update)
    draft.put_submission(known)
    draft.add_event(EventKind.ANSWERED, f"{answer.task_id}: {known.submission.name} gave the states asked for.")
    settle_late(draft, known, policy, now)


def _covers(known: SubmissionState, answer: Answer, step: int) -> bool:
    """Whether an answer has a state's three files where verification looks for them."""
    s = known.submission
    place = submission_folder(s.task_id, s.attempt, known.signer)
    return set(snapshot_paths(place, step)) <= {file.path for file in answer.files}


def refuse_unanswered(draft: Draft, policy: Policy, now: float, watching_since: float) -> None:
    """Refuse work whose challenge was not answered in time, not before the coordinator has looked for an answer.

    A start does not give the whole time again: a coordinator that often starts would wait for ever.
    """
    earliest = watching_since + min(policy.answer_s, AFTER_START_S)
    for known in unsettled(draft):
        if known.challenge is not None and now > max(known.challenge.answer_until, earliest):
            steps = numbered("step", known.challenge.steps)
            note = f"the state at {steps} was asked for and not given in {policy.answer_s / 3600:.4g} hours"
            _refuse(draft, known, known.challenge.steps, note, policy, now)


def _refuse(
    draft: Draft, known: SubmissionState, steps: tuple[int, ...], note: str, policy: Policy, now: float
) -> None:
    rung = Rung(rung="replay", passed=False, figure=0.0, bound=float(len(steps)), note=note)
    verdict = verdict_without_rungs(known, f"replay/answer: {note}.", accepted=False)
    apply_verdict(draft, verdict.model_copy(update={"rungs": (rung,)}), policy, now)
