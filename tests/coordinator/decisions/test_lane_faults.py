"""Lanes that are refused, late or slow cost the other lanes of their round nothing."""

from __future__ import annotations

from dataclasses import replace

from test_rounds import LANES, OTHER, OWN, one_round_done
from tick_world import START

from paris.coordinator.decisions.credits import credits_of
from paris.coordinator.decisions.observations import Rechecked
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.model import State

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
