"""Lanes that are refused, late or slow cost the other lanes of their round nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import proven, taker
from test_rounds import LANES, OTHER, OWN, both_leased, done, go, mean, one_round_done, two_lanes, verified
from tick_world import START, beat, held, leg, leg_verdict, stored, want, who_holds

from paris.coordinator.decisions.observations import AuditNeeded, AverageLanes, Rechecked
from paris.coordinator.decisions.parallel import free_places, live_leases
from paris.coordinator.decisions.rolling import last_withdrawn, steps_to_roll_back_to
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.audits import AuditNeed
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind

REPLAYED = LANES.model_copy(update={"replay_rate": 0.05})


def lease_id_of(state: State, task_id: str, steps: int) -> str:
    by_end = {(s.submission.task_id, s.submission.steps): s.submission.lease_id for s in state.submissions.values()}
    return by_end[task_id, steps]


def queued(state: State, lease_id: str) -> State:
    """The state with a recheck of a leg."""
    known = state.submissions[lease_id].model_copy(update={"recheck": True})
    return replace(state, submissions={**state.submissions, lease_id: known})


def refused_lane(setting: str) -> tuple[State, Decision]:
    """Lane 1's leg of the first round does not stand."""
    state = one_round_done()
    bad = lease_id_of(state, OTHER, 200)
    policy = REPLAYED.model_copy(update={"roll_back_wrong": setting})
    return state, tick(queued(state, bad), [Rechecked(bad, False, "distance 0.7.")], policy, START + 40)


def test_a_refused_lane_does_not_withdraw_the_other_lanes_legs_of_its_round():
    state, decision = refused_lane("unbuilt")
    assert credits_of(decision.state) == credits_of(state)
    assert decision.state.tasks[OWN].task.head == state.tasks[OWN].task.head
    name = state.submissions[lease_id_of(state, OWN, 200)].submission.name
    told = f"{OTHER}: paris-coord roll-back RUN {OWN} --to 0 withdraws them, and the legs of {name} with them."
    assert told in [event.text for event in decision.events]


def test_a_refused_lane_is_rolled_back_with_the_others_where_the_run_says_always():
    _, decision = refused_lane("always")
    assert {known.phase for known in decision.state.submissions.values()} == {"withdrawn"}


def means_of(decision: Decision) -> list[AverageLanes]:
    return [action for action in decision.actions if isinstance(action, AverageLanes)]


def test_a_lane_that_passes_while_the_others_mean_is_computed_is_part_of_a_new_mean():
    third, limit = "expert-0.2", START + 24 + 100
    state = go(two_lanes(3), START, *(want(who, START) for who in range(3)), lanes=3).state
    state = done(done(state, OWN, START + 10, lanes=3).state, OTHER, START + 12, lanes=3).state
    late = held(state, third).lease
    decision = go(state, limit + 3, beat(late, who_holds(state, third), limit + 3, 190), lanes=3)
    (action,) = means_of(decision)
    assert late.lease_id not in action.leases
    state = verified(decision.state, third, limit + 4, lanes=3)
    state = go(state, limit + 6, mean(action), lanes=3).state
    assert [lane.task.head and lane.task.head.step for lane in state.tasks.values()] == [200, 200, None]
    decision = go(state, limit + 7, stored(state.submissions[late.lease_id]), lanes=3)
    (again,) = means_of(decision)
    assert again.leases == (*action.leases, late.lease_id)
    ignored = go(decision.state, limit + 8, mean(action), lanes=3)
    assert means_of(ignored) == [again], "the mean without it comes too late"
    state = go(ignored.state, limit + 9, mean(again), lanes=3).state
    assert [credit.steps for credit in credits_of(state)] == [200, 200, 200]
    assert len(state.tasks[OWN].task.mean_of) == 3


def test_a_leg_that_is_stored_after_its_task_went_on_keeps_its_credit_and_is_no_roll_back():
    state = one_round_done()
    lease_id = lease_id_of(state, OTHER, 200)
    accepted = state.submissions[lease_id].model_copy(update={"phase": "accepted", "head": None, "stored_at": 0.0})
    early = replace(state, submissions={**state.submissions, lease_id: accepted})
    after = go(early, START + 40, stored(accepted)).state
    assert (after.submissions[lease_id].phase, after.tasks) == ("stored", state.tasks)
    assert credits_of(after) == credits_of(state)
    assert last_withdrawn(list(after.submissions.values()), OWN) == []


def handed_in_in_time() -> State:
    """Lane 0 is verified; lane 1's leg, handed in at the same second, waits for its audit."""
    policy = REPLAYED.model_copy(update={"audits": True, "want_life_s": 1e9})
    state = proven(tick(both_leased(), [taker(2, START + 5, "busy")], policy, START + 5).state, 2)
    one, other = held(state, OWN), held(state, OTHER)
    works = [
        leg(one, who_holds(state, OWN), START + 10, by=OWN),
        leg(other, who_holds(state, OTHER), START + 10, by=OTHER),
    ]
    state = tick(state, works, policy, START + 10).state
    need = AuditNeeded(other.lease.lease_id, AuditNeed(start_step=0, end_step=100, start=None))
    state = tick(state, [leg_verdict(state, one.lease), need], policy, START + 11).state
    state = tick(state, [stored(state.submissions[one.lease.lease_id])], policy, START + 12).state
    return tick(state, [], policy, START + 10_000).state


def test_a_lane_whose_work_came_in_time_keeps_the_round_open_until_its_audit():
    state = handed_in_in_time()
    lease = state.leases[lease_id_of(state, OTHER, 200)].lease
    assert state.submissions[lease.lease_id].phase == "auditing"
    assert state.tasks[OWN].is_waiting
    state = go(state, START + 10_001, leg_verdict(state, lease)).state
    decision = go(state, START + 10_002, stored(state.submissions[lease.lease_id]))
    (action,) = means_of(decision)
    assert lease.lease_id in action.leases


def test_the_round_goes_on_when_an_audit_refuses_the_lane_that_it_waited_for():
    state = handed_in_in_time()
    lease = state.leases[lease_id_of(state, OTHER, 200)].lease
    after = go(state, START + 10_001, leg_verdict(state, lease, accepted=False)).state
    assert not after.tasks[OWN].is_waiting
    assert after.tasks[OTHER].task.head == state.tasks[OWN].task.head


def rounds_done(number: int, state: State, begin: float = START) -> State:
    """A state after further rounds, each ended by both lanes' mean."""
    for _ in range(number):
        state = go(state, begin, want(0, begin), want(1, begin)).state
        for task_id in (OWN, OTHER):
            lease, who = held(state, task_id).lease, who_holds(state, task_id)
            state = go(state, begin + 5, beat(lease, who, begin + 5, lease.start_step + 100)).state
        decision = done(done(state, OWN, begin + 10).state, OTHER, begin + 20)
        (action,) = means_of(decision)
        state, begin = go(decision.state, begin + 30, mean(action, f"{action.step:064x}")).state, begin + 100
    return state


def test_the_mean_that_a_recheck_starts_from_is_kept_until_it_is_done():
    def long() -> State:
        state = two_lanes()
        tasks = {
            name: one.model_copy(update={"task": one.task.model_copy(update={"steps": 20_000})})
            for name, one in state.tasks.items()
        }
        return rounds_done(2, replace(state, tasks=tasks))

    begun = long()
    doubted = queued(begun, lease_id_of(begun, OTHER, 400))
    for state, kept in ((doubted, {200, 400}), (begun, set())):
        after = rounds_done(5, state, START + 200)
        heads = {one.step for one in after.tasks[OWN].rounds if one.head is not None}
        assert heads & {200, 400} == kept


def test_leases_with_accepted_work_make_no_room_beside_a_working_holder():
    state = rounds_done(2, two_lanes())
    now = START + 300
    state = go(state, now, want(0, now), want(1, now)).state
    state = done(state, OWN, now + 10).state
    lease, who = held(state, OTHER).lease, who_holds(state, OTHER)
    failed = beat(lease, who, now + 20, lease.start_step + 120, state="failed")
    state = go(state, now + 20, failed, want(who, now + 20, "leaving"), want(1 - who, now + 20, "leaving")).state
    assert state.tasks[OTHER].head_lease_id is None, "lane 0 ended the round alone"
    state = go(state, now + 30, want(2, now + 30), want(3, now + 30)).state
    for task_id in (OWN, OTHER):
        lease, who = held(state, task_id).lease, who_holds(state, task_id)
        state = go(state, now + 35, beat(lease, who, now + 35, lease.start_step + 50)).state
    assert free_places(Draft(state), LANES, now + 36) == {OTHER: 1}, "for the failed lease alone"


@pytest.mark.parametrize("ended_by", [(OWN,), (OWN, OTHER)])
def test_no_further_lane_is_leased_in_the_last_round(ended_by):
    state, now = rounds_done(3, two_lanes()), START + 400
    state = go(state, now, *(want(who, now) for who in range(len(ended_by)))).state
    others = [want(2, now + 20), want(3, now + 20)]
    for task_id in ended_by[1:]:
        state = done(state, task_id, now + 10).state
    lease_id = held(state, OWN).lease.lease_id
    state = verified(state, OWN, now + 15)
    decision = go(state, now + 20, stored(state.submissions[lease_id]), *others)
    if means_of(decision):
        decision = go(decision.state, now + 20, mean(means_of(decision)[0], "e" * 64))
    own = held(decision.state, OWN).lease
    assert (own.start_step, decision.state.tasks[OTHER].is_waiting) == (800, True)
    assert [one.lease.lease_id for one in live_leases(decision.state)] == [own.lease_id]


def test_a_roll_forward_brings_back_the_ends_of_a_round_that_had_no_mean_yet():
    state = go(one_round_done(), START + 31, want(0, START + 31), want(1, START + 31)).state
    decision = done(done(state, OWN, START + 40).state, OTHER, START + 50)
    back = go(decision.state, START + 60, Order(OrderKind.ROLL_BACK, OWN, "test", 200)).state
    forward = go(back, START + 70, Order(OrderKind.ROLL_FORWARD, OWN, "test"))
    assert means_of(forward) == means_of(decision) != []
    state = go(forward.state, START + 80, mean(means_of(forward)[0], "b" * 64)).state
    assert {lane.task.head.commitment for lane in state.tasks.values()} == {"b" * 64}


def test_the_steps_to_roll_back_to_are_those_of_all_lanes_and_of_means():
    state = two_lanes()
    assert steps_to_roll_back_to(state, OWN) == [0]
    state = go(state, START, want(0, START), want(1, START)).state
    state = done(state, OTHER, START + 10).state
    alone = beat(held(state, OWN).lease, who_holds(state, OWN), START + 20, 50, state="failed")
    state = go(state, START + 20, alone).state
    assert state.tasks[OWN].task.head.step == 200, "lane 1 ended the round alone"
    state = rounds_done(2, state, START + 100)
    assert steps_to_roll_back_to(state, OWN) == [0, 200, 400]
