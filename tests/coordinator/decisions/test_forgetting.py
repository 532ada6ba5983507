"""Old volunteers and leases are forgotten; those that matter are not."""

from __future__ import annotations

from tick_world import PEOPLE, POLICY, START, run_of, want

from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import LeaseState, State, VolunteerState
from paris.coordinator.state.store import Store
from paris.protocol.records import Lease

MONTH_S = POLICY.forget_after_s


def test_a_volunteer_that_is_not_seen_for_a_month_is_forgotten_on_disk_too(tmp_path):
    seen = tick(State(), [want(0, START), want(1, START)], POLICY, START).state
    later = tick(seen, [want(1, START + MONTH_S)], POLICY, START + MONTH_S).state
    assert len(later.volunteers) == 2, "a month is not over yet"
    last = tick(later, [], POLICY, START + MONTH_S + 1).state
    assert list(last.volunteers) == [PEOPLE[1].public_key]
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), later, [], START)
    store.save(later, last, [], START)
    assert store.load() == last


def test_a_volunteer_that_holds_a_task_is_not_forgotten():
    state = tick(run_of(1), [want(0, START)], POLICY, START).state
    assert state.leases
    later = tick(state, [], POLICY, START + 2 * MONTH_S, watching_since=START + 2 * MONTH_S).state
    assert list(later.volunteers) == [PEOPLE[0].public_key]
    assert later.leases == state.leases


def test_a_forgotten_volunteer_can_come_back():
    seen = tick(State(), [want(0, START)], POLICY, START).state
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
                expires_at=START + 1,
            )
        )
        for attempt in range(1, 41)
    }
    leases = {name: held if held.lease.attempt == 40 else held.revoked("late") for name, held in leases.items()}
    task = task.leased(leases[f"{40:032x}"].lease)
    after = tick(State(tasks={"expert-0": task}, leases=leases), [], POLICY, START).state
    assert sorted(held.lease.attempt for held in after.leases.values()) == list(range(25, 41))
