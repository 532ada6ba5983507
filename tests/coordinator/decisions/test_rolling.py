"""Rolling an expert back to a verified state, and forward again."""

from __future__ import annotations

import pytest
from tick_world import (
    PEOPLE,
    START,
    earned,
    handed_in,
    held,
    lease_of,
    leg,
    leg_step,
    leg_verdict,
    registration,
    relay,
    run_of,
    stored,
    want,
    who_holds,
)

from paris.coordinator.decisions.legs import start_of
from paris.coordinator.decisions.observations import Register, StoreLeg
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import State, SubmissionState
from paris.coordinator.state.orders import Order, OrderKind

KEYS = [person.public_key for person in PEOPLE]


def rolled_back(state: State, step: int, now: float | None = None):
    now = now or max(held.lease.granted_at for held in state.leases.values()) + 30
    return leg_step(state, now, Order(OrderKind.ROLL_BACK, "expert-0", "a cheat", step))


def forward(state: State, now: float = START + 450):
    return leg_step(state, now, Order(OrderKind.ROLL_FORWARD, "expert-0"))


def test_later_legs_and_their_credits_are_withdrawn_and_the_present_lease_is_taken_back():
    state = relay(4)
    lost = lease_of(state)
    decision = rolled_back(state, 400)
    after = decision.state
    assert after.leases[lost.lease_id].lease.state == "revoked"
    assert start_of(after.tasks["expert-0"].task) == 400
    assert (earned(state)[KEYS[0]].steps, earned(after)[KEYS[0]].steps) == (400, 200)
    assert earned(after)[KEYS[1]].steps == 200
    (order,) = [event.text for event in decision.events if event.kind == "order"]
    assert order == "expert-0: rolled back to step 400: a cheat; 2 legs by v0, v1 withdrawn, with their credits."
    again = leg_step(after, START + 431, want(2, START + 431)).state
    assert (lease_of(again).start_step, lease_of(again).to_step) == (400, 600)
    assert rolled_back(after, 400).state == after, "carried out before"


def test_to_the_start_takes_everything_back():
    state = rolled_back(relay(2), 0).state
    assert state.tasks["expert-0"].task.head is None
    assert credits_of(state) == []
    again = leg_step(state, START + 431, want(2, START + 431)).state
    assert (held(again).start_commitment, lease_of(again).start_step) == (None, 0)


@pytest.mark.parametrize("step", [100, 800, 1000])
def test_a_step_without_a_kept_state_or_without_legs_after_it_changes_nothing(step):
    state = relay(3)
    decision = rolled_back(state, step)
    assert decision.state == state
    (order,) = [event.text for event in decision.events if event.kind == "order"]
    assert order.startswith(f"expert-0: not rolled back to step {step}: ")


def test_late_work_on_a_withdrawn_state_is_rejected_without_fault():
    state = relay(3)
    late = held(state)
    who = who_holds(state)
    faults = state.volunteers[KEYS[who]].num_faults
    state = rolled_back(state, 400).state
    state = leg_step(state, START + 431, leg(late, who, START + 431)).state
    known = state.submissions[late.lease.lease_id]
    assert known.verdict.reason == "The state that this leg started from was withdrawn."
    assert state.volunteers[KEYS[who]].num_faults == faults


def test_a_leg_that_is_being_stored_is_withdrawn_too_and_its_copy_is_not_taken_in():
    state = relay(1)
    lease, who = lease_of(state), who_holds(state)
    state = leg_step(state, START + 110, leg(held(state), who, START + 110)).state
    decision = leg_step(state, START + 111, leg_verdict(state, lease))
    assert decision.actions == (StoreLeg(lease.lease_id),)
    back = rolled_back(decision.state, 200)
    assert back.actions == ()
    copied = stored(decision.state.submissions[lease.lease_id])
    after = leg_step(back.state, START + 145, copied).state
    assert (after.submissions, after.tasks) == (back.state.submissions, back.state.tasks)
    assert forward(back.state, START + 150).actions == (StoreLeg(lease.lease_id),)


def finished() -> tuple[State, str]:
    state = relay(4)
    lease, who = lease_of(state), who_holds(state)
    state = leg_step(state, START + 410, leg(held(state), who, START + 410)).state
    state = leg_step(state, START + 411, leg_verdict(state, lease)).state
    return leg_step(state, START + 412, registration(lease)).state, lease.lease_id


def test_a_registration_in_flight_does_not_undo_a_roll_back():
    state = relay(4)
    lease, who = lease_of(state), who_holds(state)
    state = leg_step(state, START + 410, leg(held(state), who, START + 410)).state
    decision = leg_step(state, START + 411, leg_verdict(state, lease))
    assert decision.actions == (Register(lease.lease_id),)
    back = rolled_back(decision.state, 400, START + 412).state
    assert leg_step(back, START + 412, registration(lease)).state == back


def test_a_roll_back_can_be_taken_back_also_of_a_registered_expert_and_step_by_step():
    state, last = finished()
    once = rolled_back(state, 600).state
    twice = rolled_back(once, 200, START + 440).state
    assert start_of(twice.tasks["expert-0"].task) == 200
    assert twice.tasks["expert-0"].registration is None
    first = forward(twice).state
    assert start_of(first.tasks["expert-0"].task) == 600
    decision = forward(first, START + 455)
    assert start_of(decision.state.tasks["expert-0"].task) == 800
    assert decision.actions == (Register(last),)
    assert credits_of(decision.state) == credits_of(state)
    assert forward(decision.state, START + 457).state == decision.state


def test_a_roll_back_stays_once_another_leg_was_verified():
    state = rolled_back(relay(3), 400).state
    state = handed_in(state, START + 340, leg(held(state), who_holds(state), START + 340))
    again = forward(state, START + 350).state
    assert (again.submissions, again.tasks["expert-0"].task.head) == (
        state.submissions,
        state.tasks["expert-0"].task.head,
    )


def test_a_roll_back_stays_while_another_leg_is_accepted_and_the_head_never_moves_back():
    state = rolled_back(relay(3), 400).state
    lease, who = lease_of(state), who_holds(state)
    state = leg_step(state, START + 340, leg(held(state), who, START + 340, steps=500)).state
    state = leg_step(state, START + 341, leg_verdict(state, lease)).state
    decision = forward(state, START + 342)
    assert decision.state == state
    (order,) = [event.text for event in decision.events if event.kind == "order"]
    assert order == "expert-0: not rolled forward: another leg was accepted meanwhile."
    ahead = state.tasks["expert-0"].at_head(stored(relay_leg(600)).head, "a" * 32)
    moved = State(**{**vars(state), "tasks": {"expert-0": ahead}})
    decision = leg_step(moved, START + 343, stored(state.submissions[lease.lease_id]))
    assert start_of(decision.state.tasks["expert-0"].task) == 600
    assert StoreLeg(lease.lease_id) not in decision.actions


def relay_leg(step: int) -> SubmissionState:
    """The verified leg that ends with a step."""
    return next(known for known in relay(3).submissions.values() if known.submission.steps == step)


def test_experts_that_a_withdrawn_one_may_have_judged_are_named():
    state, last = finished()
    other = "b" * 32
    known = state.submissions[last]
    later = known.model_copy(
        update={
            "submission": known.submission.model_copy(update={"task_id": "expert-1", "lease_id": other}),
            "seen_at": known.seen_at + 5,
        }
    )
    registered = state.tasks["expert-0"].registration.model_copy(update={"task_id": "expert-1", "lease_id": other})
    task = run_of(2).tasks["expert-1"].registered(registered)
    state = State(
        **{
            **vars(state),
            "tasks": {**state.tasks, "expert-1": task},
            "submissions": {**state.submissions, other: later},
        }
    )
    for decision in (rolled_back(state, 800), leg_step(state, START + 460, Order(OrderKind.UNREGISTER, "expert-0"))):
        problems = [event.text for event in decision.events if event.kind == "problem"]
        assert problems == ["expert-0: expert-1 may have been judged by the withdrawn expert: judge them again."]


def test_work_on_a_leg_that_comes_back_is_settled_with_it():
    state = rolled_back(relay(3), 400).state
    lease, who = lease_of(state), who_holds(state)
    state = leg_step(state, START + 340, leg(held(state), who, START + 340)).state
    assert state.submissions[lease.lease_id].phase == "seen"
    judged = forward(state, START + 341).state.submissions[lease.lease_id]
    assert judged.verdict is not None
