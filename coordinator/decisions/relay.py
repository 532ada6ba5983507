"""How a stored leg changes its task, and what becomes of work for legs that are verified already. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.legs import (
    is_in_lanes,
    is_same_work,
    kept_steps,
    round_end,
    start_of,
    verified_legs,
    verified_starts,
)
from paris.coordinator.decisions.observations import LegStored
from paris.coordinator.decisions.parallel import end_others
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rechecks import ask_recheck, states_of_rechecks
from paris.coordinator.decisions.sizes import size_of
from paris.coordinator.decisions.verdicts import accept_repeat, reject_submission
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import submissions_of, unsettled
from paris.coordinator.state.model import WAITING, SubmissionState, TaskState
from paris.protocol.lanes import lane_of
from paris.protocol.leases import first_step


def apply_leg_stored(draft: Draft, stored: LegStored, policy: Policy, now: float) -> None:
    """The task opens again at the leg's end; work for the same leg is settled."""
    known = draft.submissions.get(stored.lease_id)
    if known is None or known.phase != "accepted":
        return
    task, head = draft.tasks[known.submission.task_id], stored.head
    if head.step <= start_of(task.task):
        # A leg that stayed accepted would be stored again and again, and hold up the work after it.
        draft.put_submission(known.model_copy(update={"phase": "stored", "stored_at": now}))
        what = f"the leg by {known.submission.name} up to step {head.step} is not gone on from: the task is beyond it"
        draft.add_event(EventKind.PROBLEM, f"{task.task.task_id}: {what}. Its credit stays.")
        return
    at_head = task.at_head(head, stored.lease_id)
    ends_round = is_in_lanes(draft.tasks, at_head, policy) and head.step == round_end(task.task, policy)
    then = "it waits for the other lanes" if ends_round else "the next leg starts there"
    what = f"step {head.step} of {task.task.steps} is verified, by {known.submission.name}; {then}."
    draft.add_event(EventKind.STORED, f"{task.task.task_id}: {what}")
    end_others(draft, task.task.task_id, stored.lease_id, "Another volunteer's leg was verified.")
    draft.put_submission(known.model_copy(update={"phase": "stored", "head": head, "stored_at": now}))
    draft.put_task(at_head.waiting() if ends_round else at_head)
    _forget_states(draft, task)
    settle_waiting(draft, task.task.task_id, policy, now)


def settle_waiting(draft: Draft, task_id: str, policy: Policy, now: float) -> None:
    """Settle the work on a task that waits for its verdict and that the task has no use for any more."""
    for known in unsettled(draft):
        if known.submission.task_id == task_id and known.phase in WAITING:
            settle_late(draft, known, policy, now)


def settle_late(draft: Draft, known: SubmissionState, policy: Policy, now: float) -> None:
    """Judge a leg by comparison where the task has gone on: equal work is accepted, other work is not needed.

    Two honest volunteers on machines of one kind get the same bits, so one of two that differ may be a cheat. Which
    one, only a replay shows. Work that the task can still use is left to verification.
    """
    s = known.submission
    task, held = draft.tasks[s.task_id], draft.leases[s.lease_id]
    if held.lease.start_step is None or task.lease_id == s.lease_id:
        return
    of_expert = submissions_of(draft, s.task_id)
    legs = verified_legs(of_expert, s.task_id)
    starts = verified_starts(draft.tasks, of_expert, s.task_id)
    if held.start_commitment is not None and held.start_commitment not in starts:
        reject_submission(draft, known, "The state that this leg started from was withdrawn.", policy, now)
    elif task.registration is not None or s.steps <= start_of(task.task):
        _compare(draft, known, legs, policy, now)


def _compare(draft: Draft, known: SubmissionState, legs: list[SubmissionState], policy: Policy, now: float) -> None:
    s, begin = known.submission, first_step(draft.leases[known.submission.lease_id].lease)
    stretch = f"steps {begin} to {s.steps}"
    same = [leg for leg in legs if _stretch(draft, leg) == _stretch(draft, known)]
    if not same and known.challenge is not None:
        return  # who was asked for snapshots has to give them, or is refused for that, with a fault
    if not same:
        reject_submission(draft, known, f"Other legs were verified for {stretch} meanwhile.", policy, now)
        return
    (leg,) = same[:1]
    if not is_same_work(known, leg):
        one, other = f"{leg.submission.name} ({leg.signer[:8]})", f"{s.name} ({known.signer[:8]})"
        what = f"{stretch} by {one}, verified, and by {other} differ: one of them may be wrong"
        draft.add_event(EventKind.PROBLEM, f"{s.task_id}: {what}.")
        reject_submission(draft, known, f"It differs from the verified leg by {one}, which stays.", policy, now)
        # Late work itself is not verified: that of a fresh key says nothing.
        volunteer = draft.volunteers.get(known.signer)
        if volunteer is not None and volunteer.num_proven > 0:
            ask_recheck(draft, leg, f"late work of {other} differs", policy)
    elif _has_credit_for(draft, known, leg):
        reject_submission(draft, known, "The volunteer's own work on this leg was verified already.", policy, now)
    else:
        accept_repeat(draft, known, f"Equal to the verified leg by {leg.submission.name}, in every bit.", policy)


def _stretch(draft: Draft, leg: SubmissionState) -> tuple[int | None, int, int | None]:
    """What two legs must have in common for their ends to be the same: steps, and size of the expert."""
    return leg.submission.start_step, leg.submission.steps, size_of(draft, leg)


def _has_credit_for(draft: Draft, known: SubmissionState, leg: SubmissionState) -> bool:
    """Whether a volunteer's credit for a leg is given already: one key may have held several of its leases."""
    of_expert = submissions_of(draft, known.submission.task_id)
    own = (other for other in of_expert if other.signer == known.signer and other is not known)
    return any(
        is_same_work(other, leg) and other.verdict is not None and other.verdict.accepted and other.phase != "withdrawn"
        for other in own
        if other.submission.task_id == known.submission.task_id
    )


def _forget_states(draft: Draft, task: TaskState) -> None:
    """Forget the states that are no longer kept; the next leg's storing deletes them (`service/registering.py`)."""
    legs = verified_legs(submissions_of(draft, task.task.task_id), task.task.task_id)
    with_state = [leg for leg in legs if leg.head is not None]
    # Of a further lane the newest: what its expert is rolled back to are the means.
    parts_of = task.task.steps if lane_of(task.task.task_id) == 0 else None
    kept = kept_steps((leg.submission.steps for leg in with_state), parts_of)
    kept |= states_of_rechecks(draft, task.task.task_id)
    for leg in with_state:
        if leg.submission.steps not in kept:
            draft.put_submission(leg.model_copy(update={"head": None}))
