"""Experts of different sizes: which size a volunteer's machine gets, and how long that stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import auditing, handed_in, opened
from tick_world import LEGS, PEOPLE, START, beat, held, lease_of, leg, leg_step, leg_verdict, run_of, step, stored, want

from paris.coordinator.decisions.observations import LegStored
from paris.coordinator.decisions.sizes import fits, is_well_used, size_for
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import State
from paris.protocol.size_needs import SizeNeeds

LARGE, HALF, QUARTER = 8 * 10**9, 4 * 10**9, 2 * 10**9
SMALLER = tuple(SizeNeeds(min_memory_bytes=needed, min_disk_bytes=0) for needed in (HALF, QUARTER))


def sized_run(num_tasks: int) -> State:
    """A run whose experts may have any of three sizes."""
    state = run_of(num_tasks, min_memory_bytes=LARGE)
    tasks = {
        name: known.model_copy(update={"task": known.task.model_copy(update={"smaller": SMALLER})})
        for name, known in state.tasks.items()
    }
    return State(tasks=tasks)


def after_a_leg(state: State, now: float, who: int, task_id: str = "expert-0") -> State:
    """The state after a volunteer's leg was handed in, verified and stored, as the registrar would store it."""
    lease = lease_of(state, task_id)
    state = leg_step(state, now, leg(held(state, task_id), who, now)).state
    state = leg_step(state, now + 1, leg_verdict(state, lease)).state
    told = stored(state.submissions[lease.lease_id])
    head = told.head.model_copy(update={"size": lease.size})
    return leg_step(state, now + 2, LegStored(told.lease_id, head), want(who, now + 2, state="leaving")).state


def begun_small(num_tasks: int = 1) -> State:
    """A run whose expert 0 has a first leg of size 2."""
    state = leg_step(sized_run(num_tasks), START, want(0, START, memory_bytes=QUARTER)).state
    return after_a_leg(state, START + 10, 0)


def test_a_lease_names_the_largest_size_that_the_machine_can_hold():
    for memory_bytes, size in ((LARGE, None), (LARGE - 1, 1), (HALF - 1, 2)):
        state = step(sized_run(1), START, want(0, START, memory_bytes=memory_bytes)).state
        assert lease_of(state).size == size
    assert step(sized_run(1), START, want(0, START, memory_bytes=QUARTER - 1)).state.leases == {}


def test_disk_decides_too():
    (name, known), *_ = sized_run(1).tasks.items()
    needs = tuple(
        size.model_copy(update={"min_disk_bytes": disk}) for size, disk in zip(SMALLER, (10**10, 10**9), strict=True)
    )
    known = known.model_copy(update={"task": known.task.model_copy(update={"smaller": needs})})
    state = step(State(tasks={name: known}), START, want(0, START, memory_bytes=HALF)).state
    assert lease_of(state).size == 2


def test_without_smaller_sizes_a_lease_names_none():
    assert lease_of(step(run_of(1), START, want(0, START)).state).size is None
    state = step(run_of(1, min_memory_bytes=LARGE), START, want(0, START, memory_bytes=HALF)).state
    assert state.leases == {}


def test_before_its_first_stored_leg_an_expert_may_still_become_larger():
    state = leg_step(sized_run(1), START, want(0, START, memory_bytes=QUARTER)).state
    state = leg_step(state, START + 1, want(0, START + 1, "leaving"), want(1, START + 1, memory_bytes=LARGE)).state
    lease = lease_of(state)
    assert (lease.volunteer, lease.size, lease.attempt) == (PEOPLE[1].public_key, None, 2)


def test_a_small_machine_is_not_put_beside_a_large_one_that_still_fetches():
    state = step(sized_run(1), START, want(0, START, memory_bytes=LARGE)).state
    state = step(state, START + 45, beat(lease_of(state), 0, START + 45, 0, state="fetching")).state
    small = want(1, START + 51, memory_bytes=QUARTER)
    state = step(state, START + 51, small).state
    assert [held.lease.size for held in state.leases.values()] == [None]
    state = step(state, START + 52, small, want(2, START + 52, memory_bytes=LARGE)).state
    assert [held.lease.size for held in state.leases.values()] == [None, None]


def test_a_key_that_claims_little_memory_and_does_nothing_makes_no_expert_small():
    state = step(sized_run(1), START, want(0, START, memory_bytes=QUARTER)).state
    arrived = [want(2, START + 51, memory_bytes=QUARTER), want(1, START + 51, memory_bytes=LARGE)]
    state = step(state, START + 51, *arrived).state
    sizes = {held.lease.volunteer: held.lease.size for held in state.leases.values()}
    assert sizes[PEOPLE[0].public_key] == 2
    assert sizes[PEOPLE[1].public_key] is None


def test_a_task_that_opens_while_a_large_machine_works_on_it_stays_large():
    state = step(sized_run(1), START, want(0, START, memory_bytes=LARGE)).state
    state = step(state, START + 51, want(1, START + 51, memory_bytes=LARGE)).state
    second = next(h.lease for h in state.leases.values() if h.lease.volunteer == PEOPLE[1].public_key)
    gave_up = beat(second, 1, START + 52, 0, state="failed")
    state = step(state, START + 52, gave_up, want(2, START + 52, memory_bytes=QUARTER)).state
    assert {held.lease.size for held in state.leases.values()} == {None}
    state = step(state, START + 53, want(3, START + 53, memory_bytes=LARGE)).state
    assert {held.lease.size for held in state.leases.values() if held.lease.volunteer == PEOPLE[3].public_key} == {None}


def test_after_its_first_stored_leg_an_expert_keeps_its_size():
    state = begun_small()
    assert state.tasks["expert-0"].task.head.size == 2
    state = leg_step(state, START + 20, want(1, START + 20, memory_bytes=LARGE)).state
    assert (lease_of(state).size, lease_of(state).start_step) == (2, 200)
    large = leg_step(sized_run(1), START, want(0, START, memory_bytes=LARGE)).state
    large = after_a_leg(large, START + 10, 0)
    assert large.tasks["expert-0"].task.head.size is None
    waiting = leg_step(large, START + 20, want(1, START + 20, memory_bytes=HALF)).state
    assert waiting.tasks["expert-0"].task.state == "open"


def test_a_large_machine_begins_an_expert_of_its_size_before_it_goes_on_with_a_smaller_one():
    state = begun_small(2)
    now = START + 20
    state = leg_step(state, now, want(1, now, memory_bytes=LARGE)).state
    assert (lease_of(state, "expert-1").volunteer, lease_of(state, "expert-1").size) == (PEOPLE[1].public_key, None)
    assert state.tasks["expert-0"].task.state == "open"
    state = leg_step(state, now + 1, want(2, now + 1, memory_bytes=LARGE)).state
    assert (lease_of(state).volunteer, lease_of(state).size) == (PEOPLE[2].public_key, 2)


def test_a_small_machine_goes_on_with_a_small_expert_before_it_begins_another():
    state = begun_small(2)
    now = START + 20
    state = leg_step(state, now, want(1, now, memory_bytes=QUARTER)).state
    assert lease_of(state).volunteer == PEOPLE[1].public_key
    assert state.tasks["expert-1"].task.state == "open"


def test_two_machines_that_ask_at_once_both_get_what_suits_them():
    state = begun_small(2)
    now = START + 20
    seen = [want(1, now, memory_bytes=LARGE), want(2, now, memory_bytes=QUARTER)]
    state = tick(state, seen, LEGS, now).state
    assert (lease_of(state, "expert-1").volunteer, lease_of(state, "expert-1").size) == (PEOPLE[1].public_key, None)
    assert (lease_of(state).volunteer, lease_of(state).size) == (PEOPLE[2].public_key, 2)


def test_a_machine_is_well_used_where_it_could_hold_no_larger_expert():
    state = begun_small()
    state = leg_step(state, START + 20, want(1, START + 20, "busy", LARGE), want(2, START + 20, "busy", QUARTER)).state
    task, (large, small) = state.tasks["expert-0"].task, (state.volunteers[PEOPLE[who].public_key] for who in (1, 2))
    assert (fits(task, large), is_well_used(task, large)) == (True, False)
    assert (fits(task, small), is_well_used(task, small)) == (True, True)
    fresh = task.model_copy(update={"head": None})
    assert (size_for(fresh, large), size_for(fresh, small)) == (0, 2)
    assert is_well_used(fresh, large)


def test_an_expert_of_a_size_that_the_task_does_not_know_goes_to_nobody():
    state = begun_small()
    task = state.tasks["expert-0"].task.model_copy(update={"smaller": SMALLER[:1]})
    state = leg_step(state, START + 20, want(1, START + 20, "busy", LARGE)).state
    assert size_for(task, state.volunteers[PEOPLE[1].public_key]) is None


def test_late_work_of_another_size_than_the_verified_leg_is_no_sign_of_a_cheat():
    state = leg_step(sized_run(1), START, want(0, START, memory_bytes=LARGE)).state
    large = held(state)
    state = leg_step(state, START + 1, want(0, START + 1, "leaving"), want(1, START + 1, memory_bytes=QUARTER)).state
    state = after_a_leg(state, START + 10, 1)
    decision = leg_step(state, START + 20, leg(large, 0, START + 20))
    reason = decision.state.submissions[large.lease.lease_id].verdict.reason
    assert reason == "Other legs were verified for steps 0 to 200 meanwhile."
    assert not any("may be wrong" in event.text for event in decision.events)


@pytest.mark.parametrize("needed", [QUARTER // 2, LARGE])
def test_an_audit_has_the_size_of_the_audited_expert_and_goes_to_machines_that_hold_it(needed):
    state = handed_in()
    (name, known), *_ = state.tasks.items()
    judged = held(state)
    sizes = (SizeNeeds(min_memory_bytes=needed, min_disk_bytes=0),)
    task = known.task.model_copy(update={"min_memory_bytes": LARGE, "smaller": sizes})
    lease = judged.model_copy(update={"lease": judged.lease.model_copy(update={"size": 1})})
    leases = {**state.leases, judged.lease.lease_id: lease}
    state = replace(state, tasks={name: known.model_copy(update={"task": task})}, leases=leases)
    assert [lease.size for lease in auditing(opened(state).state)] == ([1] if needed < LARGE else [])
