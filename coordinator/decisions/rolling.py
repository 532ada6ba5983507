"""Rolling a task back to an earlier verified state, and forward again: the organiser's orders. Pure, like `tick`."""

from __future__ import annotations

from collections.abc import Iterable

from paris.coordinator.decisions.legs import head_commitment, verified_legs
from paris.coordinator.decisions.parallel import live_leases, take_back
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.relay import settle_waiting
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import SubmissionState, TaskState
from paris.coordinator.state.orders import Order


def revoke(draft: Draft, task_id: str, reason: str) -> None:
    """Take back a task's leases, also one whose work waits for its verdict; such work is still verified."""
    for held in live_leases(draft):
        if held.lease.task_id == task_id:
            take_back(draft, held, reason or "the organiser took it back.")


def roll_back(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """Withdraw a task's legs after a kept state, and its expert; work that builds on them is rejected."""
    task, step = draft.tasks.get(order.subject), order.step or 0
    if task is None:
        return
    legs = _legs_with_waiting(draft, order.subject)
    target = next((leg for leg in legs if leg.submission.steps == step and leg.head is not None), None)
    later = [leg for leg in legs if leg.submission.steps > step]
    if not later or (step > 0 and target is None):
        why = "no leg after it is verified" if not later else "its state is not kept"
        draft.add_event(EventKind.ORDER, f"{order.subject}: not rolled back to step {step}: {why} any more.")
        return
    revoke(draft, order.subject, f"the task was rolled back to step {step}.")
    for leg in later:
        draft.put_submission(leg.withdrawn(now))
    back = draft.tasks[order.subject].at_head(
        None if target is None else target.head, None if target is None else target.submission.lease_id
    )
    draft.put_task(back)
    because = f": {order.reason}" if order.reason else ""
    names = ", ".join(sorted({leg.submission.name for leg in later}))
    what = f"rolled back to step {step}{because}; {len(later)} legs by {names} withdrawn, with their credits."
    draft.add_event(EventKind.ORDER, f"{order.subject}: {what}")
    name_judged_by(draft, task)
    settle_waiting(draft, order.subject, policy, now)


def roll_forward(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """Take the last roll-back of a task back, unless a further leg was verified since."""
    task = draft.tasks.get(order.subject)
    legs = last_withdrawn(list(draft.submissions.values()), order.subject)
    if task is None or task.registration is not None or not legs:
        return
    if accepted_legs(draft.submissions.values(), order.subject):
        draft.add_event(EventKind.ORDER, f"{order.subject}: not rolled forward: another leg was accepted meanwhile.")
        return
    revoke(draft, order.subject, "Earlier volunteers' legs came back.")
    for leg in legs:
        draft.put_submission(leg.restored())
    with_head = [leg for leg in legs if leg.head is not None]
    if with_head:
        newest = max(with_head, key=lambda leg: leg.submission.steps)
        draft.put_task(draft.tasks[order.subject].at_head(newest.head, newest.submission.lease_id))
    what = f"{len(legs)} withdrawn legs came back, up to step {max(leg.submission.steps for leg in legs)}."
    draft.add_event(EventKind.ORDER, f"{order.subject}: {what}")
    settle_waiting(draft, order.subject, policy, now)


def last_withdrawn(submissions: list[SubmissionState], task_id: str) -> list[SubmissionState]:
    """The legs that a task's last roll-back withdrew; none if a leg was verified since."""
    withdrawn = [s for s in submissions if s.phase == "withdrawn" and s.submission.task_id == task_id]
    withdrawn = [s for s in withdrawn if s.submission.start_step is not None]
    at = max((s.withdrawn_at for s in withdrawn), default=0.0)
    newest = max((leg.stored_at for leg in verified_legs(submissions, task_id)), default=0.0)
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


def accepted_legs(submissions: Iterable[SubmissionState], task_id: str) -> list[SubmissionState]:
    """The legs of a task that are accepted, and not stored or registered yet."""
    return [
        s
        for s in submissions
        if s.phase == "accepted" and s.submission.task_id == task_id and s.submission.start_step is not None
    ]


def _legs_with_waiting(draft: Draft, task_id: str) -> list[SubmissionState]:
    """The verified legs of a task, and one that is accepted and not stored yet."""
    submissions = draft.submissions.values()
    return [*verified_legs(submissions, task_id), *accepted_legs(submissions, task_id)]
