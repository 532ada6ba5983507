"""What holds in every run, whatever happens: the numbered list of docs/protocol.md, as checks of `tick`.

A check takes what the coordinator knew before and after one tick, or just one state. Names of experts whose work the
organiser or a refused recheck withdrew in that tick are `excused`: there a step back is what was wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from paris.coordinator.decisions.legs import start_of
from paris.coordinator.decisions.observations import Action, LanesLost, Observation, Rechecked, Register, StoreLeg
from paris.coordinator.decisions.parallel import live_leases
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import WAITING, LeaseState, State, SubmissionState
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.lanes import expert_of

PAID = ("accepted", "stored", "registered")
_WITHDRAWS = (OrderKind.ROLL_BACK, OrderKind.ROLL_FORWARD, OrderKind.UNREGISTER, OrderKind.REREGISTER)
_NEXT = {
    **{phase: {*WAITING, "accepted", "rejected", "repeated", "stored", "registered", "closed"} for phase in WAITING},
    "accepted": {"stored", "registered"},
    "rejected": {"closed"},
    "repeated": {"closed"},
    "stored": set(),
    "registered": set(),
    "closed": set(),
    "withdrawn": set(),
}
"""The phases that a submission may have after one tick, without an order; one tick may take several steps."""


def excused(before: State, seen: Iterable[Observation]) -> set[str]:
    """The experts whose verified work may be withdrawn, or come back, by what was seen."""
    found = set()
    for one in seen:
        if isinstance(one, Order) and one.kind in _WITHDRAWS:
            found.add(expert_of(one.subject))
        elif isinstance(one, Rechecked) and not one.passed and one.lease_id in before.submissions:
            found.add(expert_of(before.submissions[one.lease_id].submission.task_id))
        elif isinstance(one, LanesLost):
            found.add(one.task_id)
    return found


def check_step(before: State, after: State, seen: list[Observation]) -> None:
    """What one tick may change."""
    allowed = excused(before, seen)
    check_work_is_kept(before, after, allowed)
    check_attempts_grow(before, after)
    check_no_step_back(before, after, allowed)
    check_experts_stay(before, after, allowed)
    check_verdicts_stay(before, after)


def check_state(state: State, actions: tuple[Action, ...]) -> None:
    """What holds after each tick."""
    check_leases(state)
    check_accepted_work_is_asked_for(state, actions)
    check_credits(state)


def check_work_is_kept(before: State, after: State, allowed: set[str]) -> None:
    """Invariant 1: no handed-in work is lost, or judged anew, and its lease stays."""
    for lease_id, old in before.submissions.items():
        assert lease_id in after.submissions, "handed-in work is gone"
        assert lease_id in after.leases, "the lease of handed-in work is gone"
        new = after.submissions[lease_id]
        if expert_of(old.submission.task_id) not in allowed:
            assert new.phase == old.phase or new.phase in _NEXT[old.phase], f"{old.phase} work became {new.phase}"


def check_accepted_work_is_asked_for(state: State, actions: tuple[Action, ...]) -> None:
    """Invariant 1, for work that passed: it is stored or registered at last, because each tick asks for it."""
    asked = {one.lease_id for one in actions if isinstance(one, StoreLeg | Register)}
    accepted = {lease_id for lease_id, known in state.submissions.items() if known.phase == "accepted"}
    assert accepted == asked
    assert len(actions) == len(set(actions)), "an action is asked for once a tick"


def check_leases(state: State) -> None:
    """Invariants 2 and 3 in one state: one lease an attempt, one a volunteer; a task's present lease is known."""
    work = [held for held in state.leases.values() if held.lease.audit is None]
    attempts = Counter((held.lease.task_id, held.lease.attempt) for held in work)
    assert all(count == 1 for count in attempts.values()), "two leases of one attempt"
    assert all(held.lease.attempt <= state.tasks[held.lease.task_id].task.attempt for held in work)
    worked_on = [held for held in live_leases(state) if held.lease.lease_id not in state.submissions]
    auditing = [audit.volunteer for audit in state.audits.values() if audit.outcome == "waiting"]
    holders = Counter([*(held.lease.volunteer for held in worked_on), *auditing])
    assert all(count == 1 for count in holders.values()), "two leases of one volunteer"
    for task in state.tasks.values():
        assert (task.task.state == "registered") == (task.registration is not None)
        assert task.lease_id is None or task.task.state in ("leased", "submitted")
        if task.task.state == "leased":
            assert task.lease_id is not None
            _check_present_lease(state, state.leases[task.lease_id])


def _check_present_lease(state: State, held: LeaseState) -> None:
    task = state.tasks[held.lease.task_id].task
    assert held.lease.state == "granted", "a task's present lease was taken back"
    if held.lease.start_step is not None:
        assert held.lease.start_step == start_of(task), "a leg starts at the head"
        assert held.start_commitment == (task.head and task.head.commitment)
        assert held.lease.start_step < held.lease.to_step <= task.steps


def check_attempts_grow(before: State, after: State) -> None:
    """Invariant 3: an attempt never falls, and a new lease of a task has a later one than all before."""
    for task_id, old in before.tasks.items():
        assert after.tasks[task_id].task.attempt >= old.task.attempt
    for lease_id, held in after.leases.items():
        if lease_id not in before.leases and held.lease.audit is None:
            assert held.lease.attempt > before.tasks[held.lease.task_id].task.attempt


def check_no_step_back(before: State, after: State, allowed: set[str]) -> None:
    """Invariant 4: an expert, and each of its lanes, goes back by a roll-back alone."""
    for task_id, old in before.tasks.items():
        if expert_of(task_id) not in allowed:
            assert start_of(after.tasks[task_id].task) >= start_of(old.task), f"{task_id} went back"


def check_experts_stay(before: State, after: State, allowed: set[str]) -> None:
    """Invariant 6: a registered expert changes by an order, or a refused recheck, alone."""
    for task_id, old in before.tasks.items():
        if old.registration is not None and expert_of(task_id) not in allowed:
            assert after.tasks[task_id].registration == old.registration


def check_verdicts_stay(before: State, after: State) -> None:
    """Invariant 9: a verdict that was given is the only one."""
    for lease_id, old in before.submissions.items():
        if old.verdict is not None:
            assert after.submissions[lease_id].verdict == old.verdict
    for known in after.submissions.values():
        is_judged = known.verdict is not None
        assert is_judged == (known.phase not in WAITING)
        if is_judged and known.phase != "withdrawn":
            assert known.verdict.accepted == (known.phase in PAID or _was_repeated(known))


def _was_repeated(known: SubmissionState) -> bool:
    return known.phase == "repeated" or (known.phase == "closed" and known.verdict.accepted)


def check_credits(state: State) -> None:
    """Invariant 5: each verified step of a task is paid once, and nothing else is."""
    paid = [known for known in state.submissions.values() if known.phase in PAID]
    assert sum(credit.steps for credit in credits_of(state)) == sum(_stretch(one)[1] - _stretch(one)[0] for one in paid)
    by_task: dict[str, list[tuple[int, int]]] = {}
    for known in paid:
        by_task.setdefault(known.submission.task_id, []).append(_stretch(known))
    for task_id, stretches in by_task.items():
        stretches.sort()
        for one, other in pairwise(stretches):
            assert one[1] <= other[0], f"{task_id}: steps {one} and {other} are both paid"
    for task_id, task in state.experts.items():
        lanes = [s for name, found in by_task.items() if expert_of(name) == task_id for s in found]
        reached = task.task.steps if task.registration is not None else start_of(task.task)
        assert _covered(lanes) >= reached, f"{task_id}: of {reached} verified steps only {_covered(lanes)} are paid"
        if all(name == task_id or expert_of(name) != task_id for name in state.tasks):
            ends = [s.submission.steps for s in paid if s.submission.task_id == task_id and s.phase != "accepted"]
            assert max(ends, default=0) == reached, f"{task_id}: work beyond step {reached} is paid"


def _stretch(known: SubmissionState) -> tuple[int, int]:
    """The steps that are paid for a piece of work, as start and end."""
    s, credit = known.submission, known.verdict.credit_steps
    return s.steps - (s.steps if credit is None else credit), s.steps


def _covered(stretches: list[tuple[int, int]]) -> int:
    """To which step the stretches reach from 0 without a gap."""
    reached = 0
    for begin, end in sorted(stretches):
        if begin <= reached:
            reached = max(reached, end)
    return reached
