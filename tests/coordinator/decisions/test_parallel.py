"""Keys that take a task and do nothing delay an honest newcomer by at most one grace, however they go about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tick_world import (
    LEGS,
    PEOPLE,
    POLICY,
    START,
    beat,
    handed_in,
    held,
    leg,
    leg_verdict,
    registration,
    relay,
    run_of,
    sealed,
    step,
    stored,
    submission,
    verdict,
    want,
    who_holds,
)

from paris.coordinator.decisions.observations import HeartbeatReceived, WantReceived
from paris.coordinator.decisions.parallel import MOST_LEASES, live_leases
from paris.coordinator.decisions.tick import tick
from paris.coordinator.page.tables import task_rows
from paris.coordinator.state.boards import board_of
from paris.coordinator.state.model import LeaseState, State
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.limits import MAX_ATTEMPT
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Want

GRACE_S = run_of(1).tasks["expert-0"].task.grace_s
TICK_S = 5.0
CROWD = [Identity.of_seed(bytes([number]) * 32) for number in range(100, 120)]
NEWCOMER = Identity.of_seed(bytes([120]) * 32)


def says(who: Identity, now: float, state: str = "waiting") -> WantReceived:
    payload = Want(name="v", device="cpu", memory_bytes=10**9, disk_bytes=10**9, state=state, node_version="0.1.0")
    return WantReceived(sealed(payload, who, now))


def reports(lease_state: LeaseState, who: Identity, now: float, at_step: int, state: str) -> HeartbeatReceived:
    lease = lease_state.lease
    names = {"lease_id": lease.lease_id, "task_id": lease.task_id, "attempt": lease.attempt}
    payload = Heartbeat(**names, state=state, step=at_step, loss=1.0, steps_per_s=1.0)
    return HeartbeatReceived(sealed(payload, who, now))


@dataclass(frozen=True)
class Stalls:
    """A key that wants work from a time on, holds a lease for a time, reports what it likes, and gives it back."""

    arrives_s: float = 0.0
    holds_s: float = 1e9
    claims: int = 0


def lease_held_by(state: State, who: Identity) -> LeaseState | None:
    live = [one for one in live_leases(state) if one.lease.volunteer == who.public_key]
    return live[0] if live else None


def wait_of_the_newcomer(stallers: list[Stalls], arrives_s: float, num_tasks: int = 1, most_s: float = 1e4) -> float:
    """Seconds until the newcomer holds a lease, among keys that stall, all of which come back after each lease."""
    state, now = run_of(num_tasks), START
    while now <= START + arrives_s + most_s:
        seen = []
        for number, (who, key) in enumerate(zip(CROWD, stallers, strict=False)):
            if now - START < key.arrives_s:
                continue
            mine = lease_held_by(state, who)
            seen.append(says(who, now, "waiting" if mine is None else "busy"))
            if mine is not None:
                leaves = now - mine.lease.granted_at >= key.holds_s
                seen.append(reports(mine, who, now + number * 1e-3, key.claims, "failed" if leaves else "training"))
        if now - START >= arrives_s:
            seen.append(says(NEWCOMER, now))
        state = tick(state, seen, POLICY, now).state
        if lease_held_by(state, NEWCOMER) is not None:
            return now - START - arrives_s
        now += TICK_S
    return float("inf")


stalling = st.builds(Stalls, arrives_s=st.floats(0, 400), holds_s=st.one_of(st.floats(0, 300), st.just(1e9)))


@settings(max_examples=25, deadline=None)
@given(st.lists(stalling, min_size=10, max_size=10), st.floats(0, 500))
def test_ten_keys_that_stall_delay_a_newcomer_by_at_most_one_grace_in_any_order(stallers, arrives_s):
    assert wait_of_the_newcomer(stallers, arrives_s) <= GRACE_S


@pytest.mark.parametrize("holds_s", [0.4 * GRACE_S, 0.49 * GRACE_S, GRACE_S, 1e9])
def test_keys_that_pass_a_task_on_to_each_other_gain_no_time(holds_s):
    stallers = [Stalls(arrives_s=0, holds_s=holds_s)] * 10
    assert wait_of_the_newcomer(stallers, arrives_s=TICK_S) <= GRACE_S
    assert wait_of_the_newcomer(stallers, arrives_s=TICK_S, num_tasks=3) <= GRACE_S


def test_each_key_that_reports_steps_and_hands_in_nothing_widens_the_next_try():
    liars = [Stalls(claims=1)] * 7
    one = wait_of_the_newcomer([Stalls(claims=1)], arrives_s=TICK_S)
    assert 2 * GRACE_S <= one <= 2.2 * GRACE_S, "the curve passes step 1 after a tenth of the deadline, and a grace"
    assert wait_of_the_newcomer(liars, arrives_s=TICK_S) <= 3.2 * one, "1, then 2, then 4 at once; not seven in turn"


def leased_in_parallel() -> State:
    """Two fresh volunteers on one task, of which the first has shown nothing for half of the grace."""
    state = step(run_of(1), START, want(0, START)).state
    now = START + GRACE_S / 2
    state = step(state, now, want(0, now, state="busy"), want(1, now)).state
    assert [one.lease.state for one in state.leases.values()] == ["granted", "granted"]
    assert (held(state).lease.attempt, who_holds(state)) == (2, 1)
    return step(state, now + 0.1, want(1, now + 0.1, state="busy")).state


def test_before_half_of_the_grace_a_task_is_of_one_volunteer_alone():
    state = step(run_of(1), START, want(0, START)).state
    now = START + GRACE_S / 2 - 0.1
    assert len(step(state, now, want(1, now)).state.leases) == 1


def test_who_reports_steps_or_has_accepted_work_shares_its_task_with_nobody():
    state = step(run_of(1), START, want(0, START)).state
    now = START + GRACE_S / 2
    shown = step(state, now, beat(held(state).lease, 0, now, 1), want(1, now)).state
    assert len(shown.leases) == 1
    key = PEOPLE[0].public_key
    proven = {key: state.volunteers[key].model_copy(update={"num_accepted": 1})}
    assert len(step(replace(state, volunteers=proven), now, want(1, now)).state.leases) == 1


def test_a_slow_start_costs_nobody_the_lease_and_both_may_hand_in():
    state, now = leased_in_parallel(), START + GRACE_S
    first = next(one for one in state.leases.values() if one.lease.attempt == 1).lease
    state = step(state, now, beat(first, 0, now, 500), beat(held(state).lease, 1, now, 10)).state
    state = step(state, now + 300, beat(first, 0, now + 300, 900), beat(held(state).lease, 1, now + 300, 500)).state
    assert {one.lease.state for one in state.leases.values()} == {"granted"}
    assert all(one.lease.expires_at > START + POLICY.lease_s for one in state.leases.values()), "both are renewed"
    second = held(state).lease
    state = step(state, now + 301, submission(first, 0, now + 301)).state
    assert state.tasks["expert-0"].task.state == "leased", "the other one is at work"
    state = step(state, now + 302, verdict(first, True)).state
    state = step(state, now + 303, registration(first)).state
    assert state.tasks["expert-0"].registration.volunteer == PEOPLE[0].public_key
    ended = state.leases[second.lease_id].lease
    assert (ended.state, ended.reason) == ("revoked", "Another volunteer's work was registered.")
    assert state.volunteers[PEOPLE[1].public_key].num_faults == 0


def test_who_holds_one_of_two_leases_gets_no_other_task_and_loses_it_when_it_is_late():
    state = leased_in_parallel()
    first = next(one for one in state.leases.values() if one.lease.attempt == 1).lease
    two = replace(state, tasks={**run_of(2).tasks, **state.tasks})
    now = START + GRACE_S / 2 + 1
    assert step(two, now, want(0, now)).state.tasks["expert-1"].lease_id is None
    now = START + 2.2 * GRACE_S
    state = step(state, now, beat(held(state).lease, 1, now, 200)).state
    assert state.leases[first.lease_id].lease.state == "revoked"
    assert (who_holds(state), state.tasks["expert-0"].task.state) == (1, "leased")
    assert state.volunteers[PEOPLE[0].public_key].num_faults == 1


def test_when_the_later_of_two_gives_up_the_task_is_open_and_the_first_goes_on():
    state, now = leased_in_parallel(), START + GRACE_S / 2 + 1
    state = step(state, now, beat(held(state).lease, 1, now, 0, state="failed")).state
    assert state.tasks["expert-0"].task.state == "open"
    assert [one.lease.volunteer for one in live_leases(state)] == [PEOPLE[0].public_key]
    state = step(state, now + 1, want(2, now + 1)).state
    assert (who_holds(state), held(state).lease.attempt) == (2, 3)


def test_a_verified_leg_ends_the_other_leases_of_its_task():
    state = relay(0)
    now = START + GRACE_S / 2
    state = tick(state, [want(0, now, state="busy"), want(1, now)], LEGS, now).state
    first, second = sorted(state.leases.values(), key=lambda one: one.lease.attempt)
    state = tick(state, [leg(first, 0, now + 1)], LEGS, now + 1).state
    state = tick(state, [leg_verdict(state, first.lease)], LEGS, now + 2).state
    state = tick(state, [stored(state.submissions[first.lease.lease_id])], LEGS, now + 3).state
    assert state.tasks["expert-0"].task.head.step == first.lease.to_step
    assert state.leases[second.lease.lease_id].lease.reason == "Another volunteer's leg was verified."


def test_the_board_counts_all_who_hold_a_task():
    state = leased_in_parallel()
    (row,) = board_of(state).tasks.values()
    assert (row.volunteer, row.num_others, row.holders) == ("v1", 1, "v1 and 1 other")
    assert [row["holders"] for row in task_rows(state)] == ["v1 and 1 other"]
    latest_back = step(state, START + 51, want(1, START + 51, state="leaving")).state
    assert [row.holders for row in board_of(latest_back).tasks.values()] == ["1 volunteer"]
    assert replace(row, num_others=2).holders == "v1 and 2 others"


@pytest.mark.parametrize(("who", "left"), [(0, [1]), (1, [0])])
def test_a_ban_takes_the_leases_of_one_volunteer_and_a_revoke_all_of_a_task(who, left):
    state = leased_in_parallel()
    ban = Order(OrderKind.BAN, PEOPLE[who].public_key)
    after = step(state, START + 51, ban).state
    assert [one.lease.volunteer for one in live_leases(after)] == [PEOPLE[k].public_key for k in left]
    after = step(state, START + 51, Order(OrderKind.REVOKE, "expert-0")).state
    assert not live_leases(after)
    assert after.tasks["expert-0"].task.state == "open"


def test_a_crowd_takes_a_bounded_number_of_leases_spread_over_the_tasks():
    state = tick(run_of(2), [says(who, START) for who in CROWD[:2]], POLICY, START).state
    now = START + GRACE_S / 2
    state = tick(state, [says(who, now + k * 1e-3) for k, who in enumerate(CROWD[2:])], POLICY, now).state
    numbers = [sum(one.lease.task_id == name for one in live_leases(state)) for name in state.tasks]
    assert numbers == [10, 10]
    one = tick(run_of(1), [says(CROWD[0], START)], POLICY, START).state
    one = tick(one, [says(who, now + k * 1e-3) for k, who in enumerate(CROWD[1:])], POLICY, now).state
    assert len(live_leases(one)) == MOST_LEASES


def test_the_last_attempt_is_shared_with_nobody():
    state = step(run_of(1), START, want(0, START)).state
    task = state.tasks["expert-0"]
    last = task.model_copy(update={"task": task.task.model_copy(update={"attempt": MAX_ATTEMPT})})
    now = START + GRACE_S / 2
    after = step(replace(state, tasks={"expert-0": last}), now, want(1, now)).state
    assert len(after.leases) == 1


def test_with_replicas_a_proven_volunteer_shares_its_task_and_the_first_verified_work_ends_the_others():
    policy = LEGS.model_copy(update={"replicas": 2})
    state = tick(run_of(1), [want(0, START)], LEGS, START).state
    state = handed_in(state, START + 10, leg(held(state), 0, START + 10))
    state = tick(state, [want(0, START + 20)], LEGS, START + 20).state
    now = START + 30
    seen = [want(1, now), want(2, now + 1e-3)]
    assert len(live_leases(tick(state, seen, LEGS, now).state)) == 1
    state = tick(state, seen, policy, now).state
    first = next(one for one in live_leases(state) if one.lease.volunteer == PEOPLE[0].public_key)
    (other,) = (one for one in live_leases(state) if one.lease.volunteer != PEOPLE[0].public_key)
    assert (other.lease.start_step, other.lease.to_step) == (first.lease.start_step, first.lease.to_step)
    state = tick(state, [leg(first, 0, now + 1)], policy, now + 1).state
    state = tick(state, [leg_verdict(state, first.lease)], policy, now + 2).state
    state = tick(state, [stored(state.submissions[first.lease.lease_id])], policy, now + 3).state
    assert state.leases[other.lease.lease_id].lease.state == "revoked"


def test_a_leg_that_was_accepted_does_not_make_the_next_ones_holder_look_silent():
    state = tick(run_of(1), [want(0, START)], LEGS, START).state
    first, now = held(state), START + GRACE_S / 2
    state = tick(state, [leg(first, 0, now), want(0, now, state="leaving")], LEGS, now).state
    state = tick(state, [leg_verdict(state, first.lease)], LEGS, now + 1).state
    state = tick(state, [stored(state.submissions[first.lease.lease_id]), want(1, now + 2)], LEGS, now + 2).state
    assert who_holds(state) == 1
    crowd = [says(who, now + 3) for who in CROWD]
    assert len(live_leases(tick(state, crowd, LEGS, now + 3).state)) == 1
    late = now + 2 + GRACE_S / 2
    crowd = [says(who, late) for who in CROWD]
    assert len(live_leases(tick(state, crowd, LEGS, late).state)) == MOST_LEASES
