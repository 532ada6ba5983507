"""Challenges: asking for snapshots of handed-in work, so that a stretch of it can be replayed. Pure, like `tick`.

A submission that waits for an answer is not verified meanwhile. One that is not answered in time is refused.
"""

from __future__ import annotations

from paris.coordinator.decisions.observations import AnswerReceived, SnapshotsNeeded
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.verdicts import apply_verdict, verdict_without_rungs
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import SubmissionState
from paris.protocol.hub_layout import STATE_FILES, step_folder
from paris.protocol.records import Answer, Challenge, Rung


def challenge(draft: Draft, needed: SnapshotsNeeded, policy: Policy, now: float) -> None:
    """Ask the volunteer for the snapshots that verification needs."""
    known = draft.submissions.get(needed.lease_id)
    if known is None or known.phase != "seen":
        return
    s = known.submission
    asked = Challenge(
        lease_id=s.lease_id,
        task_id=s.task_id,
        attempt=s.attempt,
        volunteer=known.signer,
        steps=needed.steps,
        answer_until=now + policy.answer_s,
    )
    draft.put_submission(known.model_copy(update={"phase": "challenged", "challenge": asked}))
    steps = " and ".join(map(str, needed.steps))
    draft.add_event(EventKind.CHALLENGED, f"{s.task_id}: {s.name} was asked for the state at step {steps}.")


def apply_answer(draft: Draft, received: AnswerReceived) -> None:
    """Take in an answer that has every snapshot that was asked for; verification goes on."""
    answer = received.envelope.payload.model_copy(update={"lease": None})
    known = draft.submissions.get(answer.lease_id)
    if known is None or known.challenge is None or known.signer != received.envelope.signer:
        return
    if not set(known.challenge.steps) <= set(steps_of(answer)):
        return
    update = {"phase": "seen", "challenge": None, "answers": (*known.answers, answer), "retry_at": 0.0}
    draft.put_submission(known.model_copy(update=update))
    draft.add_event(EventKind.ANSWERED, f"{answer.task_id}: {known.submission.name} gave the states asked for.")


def steps_of(answer: Answer) -> list[int]:
    """The steps whose three files an answer has."""
    paths = ["/".join(file.path.split("/")[-2:]) for file in answer.files]
    steps = {int(name[5:]) for name in (path.split("/")[0] for path in paths) if name[5:].isdecimal()}
    return sorted(step for step in steps if all(f"{step_folder(step)}/{name}" in paths for name in STATE_FILES))


def refuse_unanswered(draft: Draft, policy: Policy, now: float, watching_since: float) -> None:
    """Refuse work whose challenge was not answered in time; while the coordinator was down no answer could arrive."""
    for known in list(draft.submissions.values()):
        if known.challenge is not None and now > max(known.challenge.answer_until, watching_since + policy.answer_s):
            _refuse(draft, known, known.challenge, policy, now)


def _refuse(draft: Draft, known: SubmissionState, asked: Challenge, policy: Policy, now: float) -> None:
    steps = " and ".join(map(str, asked.steps))
    note = f"the state at step {steps} was asked for and not given in {policy.answer_s / 3600:.4g} hours"
    rung = Rung(rung="replay", passed=False, figure=0.0, bound=float(len(asked.steps)), note=note)
    verdict = verdict_without_rungs(known, f"replay/answer: {note}.", accepted=False)
    apply_verdict(draft, verdict.model_copy(update={"rungs": (rung,)}), policy, now)
