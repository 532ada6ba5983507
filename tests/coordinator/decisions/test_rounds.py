"""Rounds of an expert's lanes: who takes part, when they end, and what the lanes go on from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import LEGS, PEOPLE, START, beat, held, leg, leg_verdict, run_of, stored, task, want, who_holds

from paris.coordinator.decisions.legs import compared_with
from paris.coordinator.decisions.observations import AverageLanes, LanesAveraged, Register, StoreLeg, Verify
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State, TaskState
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.run_records import Head, SubmittedFile

LANES = LEGS.model_copy(update={"lanes": 2})
OWN, OTHER = "expert-0", "expert-0.1"
MEAN = "a" * 64


def go(state: State, now: float, *seen: object, lanes: int = 2) -> Decision:
    return tick(state, seen, LANES.model_copy(update={"lanes": lanes}), now)


def two_lanes(num_lanes: int = 2, num_experts: int = 1) -> State:
    state, tasks = run_of(num_experts), {}
    for number in range(num_experts):
        for lane in range(1, num_lanes):
            task_id = f"expert-{number}.{lane}"
            tasks[task_id] = TaskState(task=task(number).task.model_copy(update={"task_id": task_id}))
    return replace(state, tasks={**state.tasks, **tasks})


def both_leased() -> State:
    return go(two_lanes(), START, want(0, START), want(1, START)).state


def verified(state: State, task_id: str, now: float, lanes: int = 2, **work: object) -> State:
    """A lane's leg was handed in and passed, and is to be stored."""
    lease, who = held(state, task_id), who_holds(state, task_id)
    state = go(state, now, leg(lease, who, now, by=task_id, **work), lanes=lanes).state
    return go(state, now + 1, leg_verdict(state, lease.lease), lanes=lanes).state


def done(state: State, task_id: str, now: float, lanes: int = 2, **work: object) -> Decision:
    lease_id = held(state, task_id).lease.lease_id
    state = verified(state, task_id, now, lanes, **work)
    return go(state, now + 2, stored(state.submissions[lease_id]), lanes=lanes)


def mean(action: AverageLanes, commitment: str = MEAN) -> LanesAveraged:
    files = [f"states/{OWN}.mean/{name}.safetensors" for name in ("weights", "ema", "optimizer")]
    head = Head(
        step=action.step,
        loss=0.5,
        previous="0" * 64,
        commitment=commitment,
        commit="1" * 40,
        files=tuple(SubmittedFile(path=path, sha256="1" * 64, bytes=10) for path in files),
    )
    return LanesAveraged(action.task_id, action.leases, head)


def one_round_done() -> State:
    decision = done(done(both_leased(), OWN, START + 10).state, OTHER, START + 20)
    (action,) = [action for action in decision.actions if isinstance(action, AverageLanes)]
    return go(decision.state, START + 30, mean(action)).state


def test_both_lanes_start_at_the_head_and_end_at_the_same_step():
    state = both_leased()
    leases = [held(state, task_id).lease for task_id in (OWN, OTHER)]
    assert [(lease.start_step, lease.to_step) for lease in leases] == [(0, 200), (0, 200)]
    assert leases[0].volunteer != leases[1].volunteer


def test_every_expert_is_worked_on_before_one_is_by_two():
    state = go(two_lanes(num_experts=2), START, want(0, START), want(1, START)).state
    assert {task_id for task_id, one in state.tasks.items() if one.lease_id} == {"expert-0", "expert-1"}


@pytest.mark.parametrize("order", [(OWN, OTHER), (OTHER, OWN)])
def test_the_mean_is_of_the_lanes_in_their_order_whichever_came_first(order):
    first, second = order
    decision = done(both_leased(), first, START + 10)
    assert not any(isinstance(action, AverageLanes) for action in decision.actions)
    assert decision.state.tasks[first].is_waiting
    decision = done(decision.state, second, START + 20)
    ends = tuple(decision.state.tasks[task_id].head_lease_id for task_id in (OWN, OTHER))
    assert [action for action in decision.actions if isinstance(action, AverageLanes)] == [AverageLanes(OWN, 200, ends)]
    (action,) = decision.actions
    assert action.leases == ends


def test_all_lanes_go_on_from_the_mean_which_names_what_it_is_of():
    state = go(one_round_done(), START + 31, want(0, START + 31), want(1, START + 31)).state
    for task_id in (OWN, OTHER):
        assert (held(state, task_id).lease.start_step, held(state, task_id).lease.to_step) == (200, 400)
        assert held(state, task_id).start_commitment == MEAN
    ends = state.tasks[OWN].task.mean_of
    assert [end.task_id for end in ends] == [OWN, OTHER]
    assert {end.commitment for end in ends} == {s.submission.commitment for s in state.submissions.values()}
    assert state.tasks[OTHER].task.mean_of is None
    assert {credit.steps for credit in credits_of(state)} == {200}


@pytest.mark.parametrize("kept", [OWN, OTHER])
def test_a_round_without_a_mean_goes_on_from_one_lane_and_says_whose_was_left_out(kept):
    state = done(done(both_leased(), OWN, START + 10).state, OTHER, START + 20).state
    (lost,) = {OWN, OTHER} - {kept}
    used, left_out = (state.tasks[task_id].head_lease_id for task_id in (kept, lost))
    end, who = state.submissions[used].head, state.submissions[left_out].submission.name
    decision = go(state, START + 30, LanesAveraged(OWN, (used,), end, (left_out,)))
    assert [decision.state.tasks[task_id].task.head for task_id in (OWN, OTHER)] == [end, end]
    assert (decision.state.tasks[OWN].task.mean_of, decision.state.tasks[OWN].rounds) == (None, ())
    assert [event.kind for event in decision.events[:2]] == [EventKind.STORED, EventKind.PROBLEM]
    assert f"the lane of {who} is left out" in decision.events[1].text
    assert not any(isinstance(action, AverageLanes) for action in decision.actions)
    assert {credit.steps for credit in credits_of(decision.state)} == {200}, "its work was verified all the same"
    state = go(decision.state, START + 31, want(0, START + 31), want(1, START + 31)).state
    assert {held(state, task_id).lease.to_step for task_id in (OWN, OTHER)} == {400}


def test_a_volunteer_alone_makes_a_relay():
    state = go(two_lanes(), START, want(0, START)).state
    decision = done(state, OWN, START + 10)
    own = decision.state.tasks[OWN]
    assert own.task.head == decision.state.submissions[own.head_lease_id].head
    assert (own.task.mean_of, own.rounds, held(decision.state, OWN).lease.start_step) == (None, (), 200)
    assert decision.state.tasks[OTHER].task.head == own.task.head
    assert decision.actions == ()


def test_a_lane_whose_lease_is_lost_is_not_waited_for():
    state = done(both_leased(), OWN, START + 10).state
    gave_up = beat(held(state, OTHER).lease, who_holds(state, OTHER), START + 20, 50, state="failed")
    after = go(state, START + 20, gave_up).state
    assert [after.tasks[task_id].task.head.step for task_id in (OWN, OTHER)] == [200, 200]
    assert after.tasks[OWN].rounds == ()


def test_lane_0_is_not_waited_for_either():
    state = done(both_leased(), OTHER, START + 10).state
    gave_up = beat(held(state, OWN).lease, who_holds(state, OWN), START + 20, 50, state="failed")
    after = go(state, START + 20, gave_up).state
    assert {after.tasks[task_id].task.head.commitment for task_id in (OWN, OTHER)} == {
        state.tasks[OTHER].task.head.commitment
    }


def test_lane_0_stays_closed_while_another_is_waited_for_and_opens_where_the_others_are_gone():
    state = go(two_lanes(3), START, *(want(who, START) for who in range(3)), lanes=3).state
    state = done(state, OTHER, START + 10, lanes=3).state
    gave_up = beat(held(state, OWN).lease, who_holds(state, OWN), START + 20, 50, state="failed")
    state = go(state, START + 20, gave_up, lanes=3).state
    assert [lane.is_waiting for lane in state.tasks.values()] == [True, True, False]
    assert state.tasks[OWN].task.head is None
    alone = go(state, START + 21, want(3, START + 21), lanes=1).state
    assert (held(alone, OWN).lease.start_step, held(alone, OWN).lease.to_step) == (0, 200)


def test_the_others_get_as_long_again_as_the_first_and_the_grace():
    state = done(both_leased(), OWN, START + 10).state
    late = held(state, OTHER)
    waits_s = 12 + task(0).task.grace_s
    alive = beat(late.lease, who_holds(state, OTHER), START + 100, 190)
    state = go(state, START + 12 + waits_s, alive).state
    assert held(state, OTHER) == state.leases[late.lease.lease_id]
    state = go(state, START + 13 + waits_s).state
    assert state.leases[late.lease.lease_id].lease.state == "revoked"
    assert state.tasks[OTHER].task.head == state.tasks[OWN].task.head
    now = START + 15 + waits_s
    who = [person.public_key for person in PEOPLE].index(late.lease.volunteer)
    faults = state.volunteers[late.lease.volunteer].num_faults
    after = go(state, now, leg(late, who, now, by=OTHER)).state
    judged = after.submissions[late.lease.lease_id]
    assert (judged.phase, judged.verdict.rungs) == ("rejected", ())
    assert after.volunteers[late.lease.volunteer].num_faults == faults


def test_verified_work_that_is_still_to_be_stored_is_waited_for():
    state = verified(both_leased(), OTHER, START + 5)
    state = done(state, OWN, START + 10).state
    decision = go(state, START + 10_000)
    assert not any(isinstance(action, AverageLanes) for action in decision.actions)
    assert StoreLeg(held(both_leased(), OTHER).lease.lease_id) in decision.actions


def test_a_refused_lane_is_left_out():
    state = done(both_leased(), OWN, START + 10).state
    lease, who = held(state, OTHER), who_holds(state, OTHER)
    state = go(state, START + 20, leg(lease, who, START + 20, by="cheat")).state
    assert state.tasks[OWN].is_waiting
    state = go(state, START + 21, leg_verdict(state, lease.lease, accepted=False)).state
    assert not state.tasks[OWN].is_waiting
    assert state.tasks[OTHER].task.head == state.tasks[OWN].task.head


def test_a_leg_handed_in_early_is_gone_on_with_in_its_lane_up_to_the_rounds_end():
    state = done(both_leased(), OTHER, START + 10, steps=100).state
    state = go(state, START + 15, want(2, START + 15)).state
    lease = held(state, OTHER).lease
    assert (lease.start_step, lease.to_step) == (100, 200)
    state = done(done(state, OWN, START + 20).state, OTHER, START + 30).state
    assert len([action for action in go(state, START + 40).actions if isinstance(action, AverageLanes)]) == 1


def test_a_mean_that_comes_after_a_roll_back_changes_nothing():
    state = done(done(both_leased(), OWN, START + 10).state, OTHER, START + 20)
    (action,) = state.actions
    back = go(state.state, START + 25, Order(OrderKind.ROLL_BACK, OWN, "test", 0)).state
    after = go(back, START + 30, mean(action)).state
    assert after.tasks == back.tasks
    assert [back.tasks[task_id].task.head for task_id in (OWN, OTHER)] == [None, None]


def two_rounds_done() -> State:
    state = go(one_round_done(), START + 31, want(0, START + 31), want(1, START + 31)).state
    decision = done(done(state, OWN, START + 40).state, OTHER, START + 50)
    (action,) = decision.actions
    return go(decision.state, START + 60, mean(action, "b" * 64)).state


def test_a_roll_back_takes_all_lanes_to_the_mean_and_a_roll_forward_brings_them_back():
    state = go(two_rounds_done(), START + 61, want(0, START + 61), want(1, START + 61)).state
    late = held(state, OTHER)
    back = go(state, START + 70, Order(OrderKind.ROLL_BACK, OWN, "test", 200)).state
    assert {back.tasks[task_id].task.head.commitment for task_id in (OWN, OTHER)} == {MEAN}
    assert {credit.steps for credit in credits_of(back)} == {200}
    who = [person.public_key for person in PEOPLE].index(late.lease.volunteer)
    judged = go(back, START + 71, leg(late, who, START + 71, by=OTHER)).state.submissions[late.lease.lease_id]
    assert judged.verdict.reason == "The state that this leg started from was withdrawn."
    forward = go(back, START + 80, Order(OrderKind.ROLL_FORWARD, OWN, "test")).state
    assert {forward.tasks[task_id].task.head.commitment for task_id in (OWN, OTHER)} == {"b" * 64}
    assert {credit.steps for credit in credits_of(forward)} == {400}


def test_the_last_round_is_lane_0s_alone_and_is_registered():
    state, now = two_lanes(), START
    for number in range(4):
        state = go(state, now, want(0, now), want(1, now)).state
        decision = done(done(state, OWN, now + 10).state, OTHER, now + 20)
        (action,) = decision.actions
        state, now = go(decision.state, now + 30, mean(action, f"{number}" * 64)).state, now + 100
    state = go(state, now, want(0, now), want(1, now)).state
    assert state.tasks[OTHER].is_waiting
    assert (held(state, OWN).lease.start_step, held(state, OWN).lease.to_step) == (800, 1000)
    decision = go(verified(state, OWN, now + 10), now + 12)
    assert decision.actions == (Register(held(state, OWN).lease.lease_id),)
    assert state.tasks[OWN].task.head.commitment == "3" * 64


def test_lanes_that_a_run_has_no_more_are_closed_and_its_experts_go_on():
    state = done(both_leased(), OWN, START + 10).state
    after = go(state, START + 20, lanes=1).state
    assert after.tasks[OTHER].is_waiting
    assert held(after, OWN).lease.start_step == 200


def test_a_lane_that_is_added_to_a_run_joins_at_the_start_of_a_round():
    alone = replace(two_lanes(), tasks=dict(run_of(1).tasks))
    state = go(alone, START, want(0, START)).state
    state = done(state, OWN, START + 10, steps=100).state
    state = replace(state, tasks={**state.tasks, OTHER: two_lanes().tasks[OTHER]})
    state = go(state, START + 20, want(0, START + 20), want(1, START + 20)).state
    assert held(state, OTHER).lease.to_step == 200, "both are in the first round"
    old = replace(one_round_done(), tasks={**one_round_done().tasks, OTHER: two_lanes().tasks[OTHER]})
    new = go(old, START + 40, want(0, START + 40), want(1, START + 40)).state
    assert held(new, OTHER).start_commitment == MEAN


def test_a_killed_coordinator_asks_for_the_mean_again():
    decision = done(done(both_leased(), OWN, START + 10).state, OTHER, START + 20)
    assert go(decision.state, START + 30).actions == decision.actions
    assert Verify not in {type(action) for action in decision.actions}


def test_a_leg_is_compared_with_those_of_other_lanes_at_the_same_step_and_not_with_its_own_lanes():
    state = two_rounds_done()
    by_step = {(s.submission.task_id, s.submission.steps): s for s in state.submissions.values()}
    assert compared_with(state.submissions.values(), by_step[OTHER, 400]) == [by_step[OWN, 400]]
