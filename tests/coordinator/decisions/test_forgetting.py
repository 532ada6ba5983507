"""Old volunteers and leases are forgotten; those that matter are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import PEOPLE, POLICY, START, beat, lease_of, run_of, step, submission, want

from paris.coordinator.decisions.observations import Verify
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import LeaseState, State, TaskState, VolunteerState
from paris.coordinator.state.store import Store
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.work_records import Lease

MONTH_S = POLICY.forget_after_s


def known_for_work(state: State) -> State:
    """The state in which something came of each volunteer."""
    known = {key: one.model_copy(update={"num_accepted": 1}) for key, one in state.volunteers.items()}
    return replace(state, volunteers=known)


def test_a_volunteer_that_is_not_seen_for_a_month_is_forgotten_on_disk_too(tmp_path):
    seen = known_for_work(tick(State(), [want(0, START), want(1, START)], POLICY, START).state)
    later = tick(seen, [want(1, START + MONTH_S)], POLICY, START + MONTH_S).state
    assert len(later.volunteers) == 2, "a month is not over yet"
    last = tick(later, [], POLICY, START + MONTH_S + 1).state
    assert list(last.volunteers) == [PEOPLE[1].public_key]
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), later, [], START)
    store.save(later, last, [], START)
    assert store.load() == last


@pytest.mark.parametrize(
    "left", [{"num_accepted": 1}, {"num_rejected": 1}, {"num_faults": 1}, {"invites": ("5e" * 16,)}, {"copied_at": 1.0}]
)
def test_a_volunteer_that_left_nothing_behind_is_forgotten_early(left):
    after_s = POLICY.forget_fresh_after_s
    seen = tick(State(), [want(0, START)], POLICY, START).state
    assert tick(seen, [], POLICY, START + after_s).state == seen
    assert not tick(seen, [], POLICY, START + after_s + 1).state.volunteers
    key = PEOPLE[0].public_key
    seen = replace(seen, volunteers={key: seen.volunteers[key].model_copy(update=left)})
    assert tick(seen, [], POLICY, START + MONTH_S).state == seen


def test_a_volunteer_that_holds_a_task_is_not_forgotten():
    state = tick(run_of(1), [want(0, START)], POLICY, START).state
    assert state.leases
    later = tick(state, [], POLICY, START + 2 * MONTH_S, watching_since=START + 2 * MONTH_S).state
    assert list(later.volunteers) == [PEOPLE[0].public_key]
    assert later.leases == state.leases


def test_a_forgotten_volunteer_can_come_back():
    seen = known_for_work(tick(State(), [want(0, START)], POLICY, START).state)
    gone = tick(seen, [], POLICY, START + MONTH_S + 1).state
    assert not gone.volunteers
    back = tick(gone, [want(0, START + MONTH_S + 2)], POLICY, START + MONTH_S + 2).state
    assert isinstance(back.volunteers[PEOPLE[0].public_key], VolunteerState)


def test_leases_of_old_attempts_are_forgotten_and_the_present_one_is_not():
    state = run_of(1)
    task = state.tasks["expert-0"]
    leases = {
        f"{attempt:032x}": LeaseState(
            lease=Lease(
                lease_id=f"{attempt:032x}",
                task_id="expert-0",
                attempt=attempt,
                volunteer="b" * 64,
                granted_at=START,
                expires_at=START - 1,
            )
        )
        for attempt in range(1, 41)
    }
    leases = {name: held if held.lease.attempt == 40 else held.revoked("late") for name, held in leases.items()}
    task = task.leased(leases[f"{40:032x}"].lease)
    after = tick(State(tasks={"expert-0": task}, leases=leases), [], POLICY, START).state
    assert sorted(held.lease.attempt for held in after.leases.values()) == list(range(25, 41))


@pytest.mark.parametrize(("at_step", "life_s"), [(0, POLICY.lease_s), (7, POLICY.lease_s + LEASE_GRACE_S)])
def test_an_old_lease_is_kept_until_its_end_and_one_with_reported_steps_while_its_work_may_come(at_step, life_s):
    state = step(run_of(1), START, want(0, START)).state
    late = lease_of(state)
    state = step(state, START + 1, beat(late, 0, START + 1, at_step)).state
    state = step(state, START + 2, want(0, START + 2, state="leaving")).state
    task = state.tasks["expert-0"].task.model_copy(update={"attempt": 40})
    state = replace(state, tasks={"expert-0": TaskState(task=task)})
    kept = step(state, START + life_s).state
    work = step(kept, START + life_s, submission(late, 0, START + life_s))
    assert Verify(late.lease_id) in work.actions
    assert late.lease_id not in step(state, START + life_s + 1).state.leases
