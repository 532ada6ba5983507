"""Random stories of legs: leases, heads and credits stay consistent."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tick_world import PEOPLE, START, beat, leg, leg_step, leg_verdict, registration, run_of, stored, want

from paris.coordinator.decisions.legs import start_of, verified_legs
from paris.coordinator.decisions.observations import Observation
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind

KINDS = ["want", "busy", "leave", "fail", "hand-in", "hand-in", "early", "cheat", "accept", "accept", "reject"]
KINDS += ["store", "store", "register", "back", "forward"]


def observations_of(state: State, what: str, who: int, number: int, now: float) -> list[Observation]:
    wants = {"want": "waiting", "busy": "busy", "leave": "leaving"}
    task_id = f"expert-{number}"
    if what in wants:
        return [want(who, now, state=wants[what])]
    if what == "back":
        return [Order(OrderKind.ROLL_BACK, task_id, step=200 * who)]
    if what == "forward":
        return [Order(OrderKind.ROLL_FORWARD, task_id)]
    leases = sorted((h for h in state.leases.values() if h.lease.task_id == task_id), key=lambda h: h.lease.attempt)
    if not leases:
        return []
    held = leases[-1 - who % min(3, len(leases))]  # one of the last three attempts
    lease, owner = held.lease, [person.public_key for person in PEOPLE].index(held.lease.volunteer)
    known = state.submissions.get(lease.lease_id)
    match what:
        case "fail":
            return [beat(lease, owner, now, lease.start_step, "failed")]
        case "hand-in":
            return [leg(held, owner, now)]
        case "early":
            return [leg(held, owner, now, steps=lease.start_step + 100)]
        case "cheat":
            return [leg(held, owner, now, by=str(owner))]
        case "accept" | "reject" if known is not None:
            return [leg_verdict(state, lease, what == "accept")]
        case "store" if known is not None and known.phase == "accepted" and known.submission.steps < 1000:
            return [stored(known)]
        case "register" if known is not None and known.phase == "accepted" and known.submission.steps == 1000:
            return [registration(lease)]
    return []


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 1), st.floats(0.1, 60)), max_size=80)
)
def test_leases_heads_and_credits_of_legs_stay_consistent(story):
    state, now = run_of(2), START
    for what, who, number, passed_s in story:
        now += passed_s
        before = state
        decision = leg_step(state, now, *observations_of(state, what, who, number, now))
        state = decision.state
        check_leases(state)
        for task_id in state.tasks:
            check_task(before, state, task_id, what)
        assert len(decision.actions) == len(set(decision.actions))
        assert leg_step(state, now).state == state, "a tick that sees nothing new changes nothing"


def check_leases(state: State) -> None:
    holders = [state.leases[t.lease_id].lease.volunteer for t in state.tasks.values() if t.lease_id]
    assert len(holders) == len(set(holders)), "one lease a volunteer"
    for task in state.tasks.values():
        assert (task.task.state in ("leased", "submitted")) == (task.lease_id is not None), "one lease a task"
        if task.lease_id is not None:
            held = state.leases[task.lease_id]
            head = task.task.head
            assert held.lease.start_step == start_of(task.task), "a lease starts at the head"
            assert held.start_commitment == (head and head.commitment)
            assert held.lease.start_step < held.lease.to_step <= task.task.steps


def check_task(before: State, after: State, task_id: str, what: str) -> None:
    old, new = before.tasks[task_id], after.tasks[task_id]
    if what not in ("back", "forward"):
        assert start_of(new.task) >= start_of(old.task), "a head only grows"
    legs = verified_legs(after.submissions.values(), task_id)
    reached = 1000 if new.registration else start_of(new.task)
    assert max((leg.submission.steps for leg in legs), default=0) == reached
    paid = sum(leg.verdict.credit_steps for leg in legs)
    assert paid == reached, "credit equals verified steps"
    if new.task.head is not None:
        assert after.submissions[new.head_lease_id].head == new.task.head, "the newest state is kept"
    accepted = [s for s in after.submissions.values() if s.phase == "accepted" and s.submission.task_id == task_id]
    assert len(accepted) <= 1
    assert sum(credit.steps for credit in credits_of(after)) >= paid
