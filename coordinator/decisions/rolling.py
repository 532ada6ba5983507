"""Rolling a task back to an earlier verified state, and forward again: the organiser's orders. Pure, like `tick`."""

from __future__ import annotations

from collections.abc import Iterable

from paris.coordinator.decisions.legs import expert_legs, head_commitment, kept_heads, verified_legs
from paris.coordinator.decisions.parallel import live_leases_of, take_back
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.relay import settle_waiting
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State, SubmissionState, TaskState
from paris.coordinator.state.orders import Order
from paris.protocol.counted import counted
from paris.protocol.lanes import expert_of
from paris.protocol.run_records import Head

_CAME_BACK = "Earlier volunteers' legs came back."


def revoke(draft: Draft, task_id: str, reason: str) -> None:
    """Take back a task's leases, also one whose work waits for its verdict; such work is still verified."""
    for held in live_leases_of(draft, task_id):
        take_back(draft, held, reason or "the organiser took it back.")


def roll_back(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """Withdraw an expert's legs after a kept state, in all lanes, and its registration; work on them is rejected."""
    task, step = draft.tasks.get(order.subject), order.step or 0
    if task is None:
        return
    legs = legs_with_waiting(draft, order.subject)
    kept = kept_heads(draft.tasks, draft.submissions.values(), order.subject)
    target = next((head for head in kept if head.step == step), None)
    later = [leg for leg in legs if leg.submission.steps > step]
    if not later or (step > 0 and target is None):
        why = "no leg after it is verified" if not later else "its state is not kept"
        draft.add_event(EventKind.ORDER, f"{order.subject}: not rolled back to step {step}: {why} any more.")
        return
    for leg in later:
        draft.put_submission(leg.withdrawn(now))
    _all_lanes_at(draft, order.subject, target, f"the task was rolled back to step {step}.")
    because = f": {order.reason}" if order.reason else ""
    names = ", ".join(sorted({leg.submission.name for leg in later}))
    what = (
        f"rolled back to step {step}{because}; {counted(len(later), 'leg')} by {names} withdrawn, with their credits."
    )
    draft.add_event(EventKind.ORDER, f"{order.subject}: {what}")
    name_judged_by(draft, task)
    _settle_lanes(draft, order.subject, policy, now)


def roll_forward(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """Take the last roll-back of a task back, unless a further leg was verified since."""
    task = draft.tasks.get(order.subject)
    legs = last_withdrawn(list(draft.submissions.values()), order.subject)
    if task is None or task.registration is not None or not legs:
        return
    if accepted_legs(draft.submissions.values(), order.subject):
        draft.add_event(EventKind.ORDER, f"{order.subject}: not rolled forward: another leg was accepted meanwhile.")
        return
    for leg in legs:
        draft.put_submission(leg.restored())
    newest = max((leg.submission.steps for leg in legs if leg.head is not None), default=None)
    if newest is None:
        revoke(draft, order.subject, _CAME_BACK)
    else:
        _mark_rounds(draft, order.subject, newest)
        kept = kept_heads(draft.tasks, draft.submissions.values(), order.subject)
        _all_lanes_at(draft, order.subject, next(head for head in kept if head.step == newest), _CAME_BACK)
        _await_mean(draft, order.subject, newest)
    what = f"{len(legs)} withdrawn legs came back, up to step {max(leg.submission.steps for leg in legs)}."
    draft.add_event(EventKind.ORDER, f"{order.subject}: {what}")
    _settle_lanes(draft, order.subject, policy, now)


def steps_to_roll_back_to(state: State, expert: str) -> list[int]:
    """The steps that `roll_back` takes: those of an expert's kept states before its newest one, and 0, in order."""
    legs = expert_legs(state.submissions.values(), expert)
    if not legs:
        return [0]
    heads = kept_heads(state.tasks, state.submissions.values(), expert)
    return sorted({0, *(head.step for head in heads if head.step < legs[-1].submission.steps)})


def last_withdrawn(submissions: list[SubmissionState], expert: str) -> list[SubmissionState]:
    """The legs that an expert's last roll-back withdrew, in all lanes; none if a leg was verified since."""
    withdrawn = [s for s in submissions if s.phase == "withdrawn" and expert_of(s.submission.task_id) == expert]
    withdrawn = [s for s in withdrawn if s.submission.start_step is not None]
    at = max((s.withdrawn_at for s in withdrawn), default=0.0)
    newest = max((leg.stored_at for leg in expert_legs(submissions, expert)), default=0.0)
    return [s for s in withdrawn if s.withdrawn_at == at] if newest <= at else []


def continues(task: TaskState, draft: Draft, known: SubmissionState) -> bool:
    """Whether withdrawn work builds on what the task has now; always without legs."""
    if known.submission.start_step is None:
        return True
    held = draft.leases.get(known.submission.lease_id)
    return held is not None and held.start_commitment == head_commitment(task.task)


def name_judged_by(draft: Draft, task: TaskState) -> None:
    """Name the experts that a withdrawn expert was a yardstick for (`verify/yardsticks.py`)."""
    withdrawn = draft.submissions.get("" if task.registration is None else task.registration.lease_id)
    if withdrawn is None:
        return
    judged = [
        other.task.task_id
        for other in draft.tasks.values()
        if other.registration is not None
        and other.task.task_id != task.task.task_id
        and draft.submissions[other.registration.lease_id].seen_at > withdrawn.seen_at
    ]
    if judged:
        what = f"{', '.join(sorted(judged))} may have been judged by the withdrawn expert: judge them again"
        draft.add_event(EventKind.PROBLEM, f"{task.task.task_id}: {what}.")


def accepted_legs(submissions: Iterable[SubmissionState], expert: str) -> list[SubmissionState]:
    """The legs of an expert, in all lanes, that are accepted, and not stored or registered yet."""
    return [
        s
        for s in submissions
        if s.phase == "accepted" and expert_of(s.submission.task_id) == expert and s.submission.start_step is not None
    ]


def legs_with_waiting(draft: Draft, expert: str) -> list[SubmissionState]:
    """The verified legs of an expert, and those that are accepted and not stored yet."""
    submissions = draft.submissions.values()
    return [*expert_legs(submissions, expert), *accepted_legs(submissions, expert)]


def _all_lanes_at(draft: Draft, expert: str, head: Head | None, reason: str) -> None:
    """Let all lanes of an expert start from a verified state; None: from the initial weights."""
    _mark_rounds(draft, expert, 0 if head is None else head.step)
    for task_id in _lanes(draft, expert):
        revoke(draft, task_id, reason)
        legs = verified_legs(draft.submissions.values(), task_id)
        lease_id = next((leg.submission.lease_id for leg in legs if head is not None and leg.head == head), None)
        draft.put_task(draft.tasks[task_id].at_head(head, lease_id))


def _await_mean(draft: Draft, expert: str, step: int) -> None:
    """Let the lanes whose round came back without its mean wait for it, each at the state that it ended with."""
    if any(one.step == step for one in draft.tasks[expert].rounds):
        return
    legs = expert_legs(draft.submissions.values(), expert)
    ends = [leg for leg in legs if leg.submission.steps == step and leg.head is not None]
    for leg in ends if len(ends) > 1 else ():
        lane = draft.tasks[leg.submission.task_id]
        draft.put_task(lane.at_head(leg.head, leg.submission.lease_id).waiting())


def _mark_rounds(draft: Draft, expert: str, step: int) -> None:
    """Withdraw the means after a step, and no other."""
    task = draft.tasks[expert]
    rounds = tuple(one.model_copy(update={"is_withdrawn": one.step > step}) for one in task.rounds)
    if rounds != task.rounds:
        draft.put_task(task.model_copy(update={"rounds": rounds}))


def _settle_lanes(draft: Draft, expert: str, policy: Policy, now: float) -> None:
    for task_id in _lanes(draft, expert):
        settle_waiting(draft, task_id, policy, now)


def _lanes(draft: Draft, expert: str) -> list[str]:
    return [task_id for task_id in draft.tasks if expert_of(task_id) == expert]
