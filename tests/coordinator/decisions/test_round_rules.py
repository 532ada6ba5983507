"""Rounds rule by rule: which means are taken in, which states are kept, and where a round ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_leg_rules import with_head, work
from test_rounds import LANES, MEAN, OTHER, OWN, both_leased, done, go, mean, two_lanes
from tick_world import LEGS, START, held, run_of, stored, want

from paris.coordinator.decisions.legs import (
    end_of,
    is_at_round_start,
    is_in_lanes,
    kept_heads,
    round_end,
    verified_starts,
)
from paris.coordinator.decisions.observations import AverageLanes
from paris.coordinator.decisions.rounds import rounds_of, rounds_to_average
from paris.coordinator.state.model import RoundState, State, TaskState
from paris.protocol.run_records import Head


def at_step(step: int, state: State | None = None, task_id: str = OWN) -> TaskState:
    """A task whose head is at a step."""
    task = (state or two_lanes()).tasks[task_id]
    return task.at_head(stored(work(1, step)).head, f"{1:032x}") if step else task


def ended() -> tuple[State, AverageLanes]:
    """Both lanes have ended their first round."""
    decision = done(done(both_leased(), OWN, START + 10).state, OTHER, START + 20)
    (action,) = decision.actions
    return decision.state, action


@pytest.mark.parametrize("wrong", ["step", "lease", "fewer lanes", "expert"])
def test_a_mean_of_another_step_lease_or_expert_is_not_taken_in(wrong):
    state, action = ended()
    right = mean(action)
    changed = {
        "step": replace(right, head=right.head.model_copy(update={"step": 100})),
        "lease": replace(right, leases=(*right.leases[:1], "f" * 32)),
        "fewer lanes": replace(right, leases=right.leases[:1]),
        "expert": replace(right, task_id="expert-7"),
    }
    assert go(state, START + 30, changed[wrong]).state == state
    after = go(state, START + 30, right)
    assert after.events[0].text == ("expert-0: the mean of 2 lanes, by v0, v1, is the state at step 200.")


def test_a_mean_is_kept_with_the_round_that_it_ended():
    state, action = ended()
    after = go(state, START + 30, mean(action)).state.tasks[OWN]
    assert after.rounds == (RoundState(step=200, commitment=MEAN, head=mean(action).head),)


def test_of_the_means_the_last_three_are_kept_and_one_of_each_tenth():
    state, action = ended()
    heads = [stored(work(number, 100 + 10 * number)).head for number in (1, 2, 3, 4)]
    rounds = tuple(RoundState(step=head.step, commitment=head.commitment, head=head) for head in heads)
    own = state.tasks[OWN].model_copy(update={"rounds": rounds})
    after = go(replace(state, tasks={**state.tasks, OWN: own}), START + 30, mean(action)).state
    assert [(one.step, one.head is not None) for one in after.tasks[OWN].rounds] == [
        (110, True),
        (120, False),
        (130, True),
        (140, True),
        (200, True),
    ]


def test_a_round_that_is_done_again_replaces_the_means_from_its_end_on():
    state, action = ended()
    old = RoundState(step=200, commitment="9" * 64, head=None, is_withdrawn=True)
    own = state.tasks[OWN].model_copy(update={"rounds": (old,)})
    after = go(replace(state, tasks={**state.tasks, OWN: own}), START + 30, mean(action)).state
    assert [one.commitment for one in after.tasks[OWN].rounds] == [MEAN]


@pytest.mark.parametrize(
    ("at", "leg_steps", "every", "end"),
    [
        (0, 200, 100, 200),
        (100, 200, 100, 200),
        (200, 200, 100, 400),
        (0, 250, 100, 200),
        (0, 50, 100, 100),
        (0, None, 100, 1000),
        (900, None, 100, 1000),
    ],
)
def test_a_round_is_of_the_usual_length_of_a_leg_in_whole_snapshots(at, leg_steps, every, end):
    policy = LANES.model_copy(update={"leg_steps": leg_steps, "snapshot_every": every})
    task = at_step(at).task
    assert round_end(task, policy) == end
    assert is_at_round_start(task, policy) is (at in (0, 200))


@pytest.mark.parametrize(("lanes", "end"), [(2, 400), (1, 800)])
def test_a_leg_of_a_lane_ends_with_its_round_at_the_latest(lanes, end):
    policy = LANES.model_copy(update={"lanes": lanes, "leg_s": 600.0})
    assert end_of(at_step(200).task, 1.0, 10**9, policy) == end


def test_a_leg_ends_at_a_snapshot_and_is_one_snapshot_at_least():
    task = at_step(0).task
    for leg_steps, end in ((250, 200), (200, 200), (40, 100), (950, 900), (1000, 1000), (5000, 1000), (None, 1000)):
        assert end_of(task, 0.0, 10**9, LEGS.model_copy(update={"leg_steps": leg_steps})) == end
    assert end_of(task, 9.0, 10**9, LEGS.model_copy(update={"leg_s": 100.0, "leg_steps": 200})) == 200, "no head yet"


def test_an_expert_is_in_lanes_where_the_run_has_several_and_its_tasks_are_there():
    tasks = two_lanes().tasks
    for task_id in (OWN, OTHER):
        assert is_in_lanes(tasks, tasks[task_id], LANES)
        assert not is_in_lanes(tasks, tasks[task_id], LEGS), "the run has no lanes any more"
    assert not is_in_lanes(run_of(1).tasks, tasks[OWN], LANES)


def test_a_leg_may_start_from_each_verified_state_of_its_expert_but_not_from_a_withdrawn_mean():
    own, other = with_head(work(1, 100)), with_head(work(2, 200, task_id=OTHER))
    lost = work(3, 300)
    elsewhere = with_head(work(4, 400, task_id="expert-1"))
    head: Head = stored(work(9, 500)).head
    rounds = (
        RoundState(step=500, commitment="a" * 64, head=head),
        RoundState(step=600, commitment="b" * 64, head=None),
        RoundState(step=700, commitment="c" * 64, head=head, is_withdrawn=True),
    )
    tasks = {**two_lanes().tasks, OWN: two_lanes().tasks[OWN].model_copy(update={"rounds": rounds})}
    works = [own, other, lost, elsewhere, work(5, 800, "accepted")]
    for task_id in (OWN, OTHER):
        assert verified_starts(tasks, works, task_id) == {
            *(known.submission.commitment for known in (own, other, lost)),
            "a" * 64,
            "b" * 64,
        }
        assert kept_heads(tasks, works, task_id) == [head, own.head, other.head], "the mean first"


def test_a_round_of_a_run_without_lanes_is_none():
    assert rounds_of(run_of(2), LANES, START) == []
    (only,) = rounds_of(two_lanes(), LANES, START)
    assert ([lane.task.task_id for lane in only.lanes], only.spare, only.end) == ([OWN, OTHER], (), 200)
    assert (only.finished, only.begun, only.is_over, only.leases) == ((), (), False, ())
    (fewer,) = rounds_of(two_lanes(), LEGS, START)
    assert [lane.task.task_id for lane in fewer.spare] == [OTHER]


def test_lanes_with_a_lease_or_with_work_that_is_not_stored_have_begun():
    state = both_leased()
    (present,) = rounds_of(state, LANES, START)
    assert [lane.task.task_id for lane in present.begun] == [OWN, OTHER]
    state = done(state, OWN, START + 10).state
    (present,) = rounds_of(state, LANES, START + 13)
    assert ([lane.task.task_id for lane in present.finished], present.is_over) == ([OWN], False)
    assert present.leases == (held(both_leased(), OWN).lease.lease_id,)
    assert list(rounds_to_average(state, LANES, START + 13)) == []


def test_a_lane_that_nobody_took_is_closed_when_another_has_ended_and_opens_with_the_next_round():
    state = go(two_lanes(3), START, want(0, START), want(1, START), lanes=3).state
    state = done(state, OWN, START + 10, lanes=3).state
    assert state.tasks["expert-0.2"].is_waiting
    decision = done(state, OTHER, START + 20, lanes=3)
    (action,) = decision.actions
    after = go(decision.state, START + 30, mean(action), lanes=3).state
    assert {task_id: row.task.state for task_id, row in after.tasks.items() if task_id == "expert-0.2"} == {
        "expert-0.2": "open"
    }
    assert after.tasks["expert-0.2"].task.head.commitment == MEAN
