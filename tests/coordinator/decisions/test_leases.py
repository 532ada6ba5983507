"""Who gets which task, when a lease is renewed, and when and why it is revoked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import PEOPLE, POLICY, START, beat, lease_of, run_of, step, task, want

from paris.coordinator.decisions.tick import tick
from paris.coordinator.decisions.trust import is_waited_out, recent_faults
from paris.coordinator.state.model import State, TaskState
from paris.protocol.limits import MAX_ATTEMPT


def with_volunteer(state: State, who: int, **fields) -> State:
    """The state after a want of this volunteer, with other fields in what is known of it."""
    state = step(State(volunteers=state.volunteers), START, want(who, START)).state
    key = PEOPLE[who].public_key
    known = state.volunteers[key].model_copy(update=fields)
    return replace(state, volunteers={**state.volunteers, key: known})


def holder(state: State, task_id: str = "expert-0") -> str:
    return lease_of(state, task_id).volunteer


def first_of_two(one: dict, other: dict, now: float = START + 1) -> int:
    """Which of two waiting volunteers gets the only task; the first has waited for longer."""
    state = with_volunteer(with_volunteer(State(), 0, waiting_since=START - 100, **one), 1, **other)
    return [PEOPLE[0].public_key, PEOPLE[1].public_key].index(
        holder(step(replace(state, tasks=run_of(1).tasks), now).state)
    )


def test_who_has_a_recent_fault_comes_after_who_waits_for_less_time():
    assert first_of_two({}, {}) == 0
    assert first_of_two({"num_faults": 1, "faulted_at": START}, {}) == 1


def test_who_has_accepted_work_comes_before_a_fresh_key_that_waits_for_longer():
    assert first_of_two({}, {"num_accepted": 1}) == 1
    assert first_of_two({}, {"num_accepted": 1, "num_faults": 1, "faulted_at": START}) == 0


@pytest.mark.parametrize(("weeks", "faults"), [(0, 5), (1, 2), (2, 1), (3, 0), (10**6, 0)])
def test_faults_are_forgotten_by_half_a_week(weeks, faults):
    state = with_volunteer(State(), 0, num_faults=5, faulted_at=START)
    known = state.volunteers[PEOPLE[0].public_key]
    assert recent_faults(known, POLICY, START + weeks * POLICY.fault_life_s) == faults


@pytest.mark.parametrize(
    ("faults", "wait_s"), [(0, 0), (1, 0), (2, 60), (3, 120), (5, 480), (40, 86400), (5000, 86400)]
)
def test_giving_up_over_and_over_costs_waiting(faults, wait_s):
    known = with_volunteer(State(), 0, num_faults=faults, faulted_at=START).volunteers[PEOPLE[0].public_key]
    assert is_waited_out(known, POLICY, START + wait_s)
    assert not wait_s or not is_waited_out(known, POLICY, START + wait_s - 0.1)


def test_a_key_that_gives_up_at_once_takes_few_attempts_of_a_day():
    state, attempts, now = run_of(1), 0, START
    while now < START + 86400:
        state = step(state, now, want(0, now)).state
        if state.tasks["expert-0"].task.state == "leased":
            attempts += 1
            state = step(state, now + 1, beat(lease_of(state), 0, now + 1, 0, "failed")).state
        now += 30
    assert attempts == state.tasks["expert-0"].task.attempt
    assert 8 <= attempts <= 13, "0, 0, 60, 120, 240 ... s apart"


def test_the_last_attempt_is_the_last():
    spent = task(0)
    spent = spent.model_copy(update={"task": spent.task.model_copy(update={"attempt": MAX_ATTEMPT})})
    after = step(State(tasks={"expert-0": spent}), START, want(0, START)).state
    assert after.tasks["expert-0"] == spent


def test_among_equals_the_one_that_waits_longest_is_first_and_then_the_key_decides():
    state = with_volunteer(with_volunteer(State(), 0), 1, waiting_since=START - 1)
    assert holder(step(replace(state, tasks=run_of(1).tasks), START + 1).state) == PEOPLE[1].public_key
    state = with_volunteer(with_volunteer(State(), 0), 1)
    first = min(PEOPLE[0].public_key, PEOPLE[1].public_key)
    assert holder(step(replace(state, tasks=run_of(1).tasks), START + 1).state) == first


@pytest.mark.parametrize(("age_s", "gets"), [(60, True), (60.1, False)])
def test_a_want_is_fresh_for_its_life_alone(age_s, gets):
    state = with_volunteer(State(), 0)
    after = step(replace(state, tasks=run_of(1).tasks), START + age_s).state
    assert (after.tasks["expert-0"].lease_id is not None) == gets


@pytest.mark.parametrize(
    ("version", "least", "gets"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.1.1", False),
        ("0.10", "0.9.9", True),
        ("1", "0.9", True),
        ("0.3.0rc1", "0.3", True),
        ("0.3.0rc1", "0.3.1", False),
        ("", "0.1", False),
        ("nonsense", "0", False),
    ],
)
def test_a_volunteer_gets_tasks_when_its_software_is_not_older_than_the_organiser_asks(version, least, gets):
    asked = want(0, START)
    update = {"node_version": version}
    asked = replace(asked, envelope=replace(asked.envelope, payload=asked.envelope.payload.model_copy(update=update)))
    policy = POLICY.model_copy(update={"min_node_version": least})
    after = tick(run_of(1), [asked], policy, START).state
    assert (after.tasks["expert-0"].lease_id is not None) == gets


def test_a_volunteer_that_is_not_waiting_gets_nothing():
    state = step(run_of(1), START, want(0, START, state="busy")).state
    assert state.tasks["expert-0"].lease_id is None


def numbered(*numbers: int, **fields) -> dict[str, TaskState]:
    return {f"expert-{number}": task(number, **fields) for number in numbers}


def test_tasks_of_fewer_attempts_come_first_and_then_those_of_lower_number_and_the_router_last():
    router = task(1)
    router = router.model_copy(update={"task": router.task.model_copy(update={"task_id": "router", "cluster": None})})
    tried = task(1)
    tried = tried.model_copy(update={"task": tried.task.model_copy(update={"attempt": 1})})
    tasks = {"router": router, **numbered(10, 9), "expert-1": tried}
    state, order = State(tasks=tasks), []
    for who in range(4):
        before = set(state.leases)
        state = step(state, START, want(who, START)).state
        order += [state.leases[name].lease.task_id for name in set(state.leases) - before]
    assert order == ["expert-9", "expert-10", "router", "expert-1"]


def test_a_task_that_is_taken_or_fits_nobody_does_not_hold_up_the_next():
    tasks = {**numbered(0, min_memory_bytes=10**12), **numbered(1)}
    state = step(State(tasks=tasks), START, want(0, START)).state
    assert state.tasks["expert-0"].lease_id is None
    assert holder(state, "expert-1") == PEOPLE[0].public_key
    state = step(run_of(2), START, want(0, START)).state
    assert holder(step(state, START + 1, want(1, START + 1)).state, "expert-1") == PEOPLE[1].public_key


@pytest.mark.parametrize("field", ["min_memory_bytes", "min_disk_bytes"])
def test_a_machine_fits_when_it_has_just_as_much_as_the_task_needs(field):
    for needed, fits in ((10**9, True), (10**9 + 1, False)):
        one = task(0)
        one = one.model_copy(update={"task": one.task.model_copy(update={field: needed})})
        state = step(State(tasks={"expert-0": one}), START, want(0, START)).state
        assert (state.tasks["expert-0"].lease_id is not None) == fits


def test_a_lease_lasts_for_the_policys_time_from_now():
    lease = lease_of(step(run_of(1), START, want(0, START)).state)
    assert (lease.granted_at, lease.expires_at, lease.attempt) == (START, START + POLICY.lease_s, 1)


@pytest.mark.parametrize(("silence_s", "renewed"), [(40, True), (40.1, False)])
def test_a_lease_is_renewed_while_the_last_heartbeat_is_at_most_four_periods_old(silence_s, renewed):
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = step(state, START + 199, beat(lease, 0, START + 199, 100)).state
    assert lease_of(state) == lease
    after = tick(state, [], POLICY, START + 199 + silence_s).state
    assert (lease_of(after).expires_at > lease.expires_at) == renewed


def test_a_lease_without_a_heartbeat_is_not_renewed():
    state = step(run_of(1), START, want(0, START)).state
    now = START + 205
    after = tick(state, [], POLICY, now, watching_since=now).state
    assert lease_of(after).expires_at == START + POLICY.lease_s


def revoked(state: State, lease_id: str) -> str | None:
    lease = state.leases[lease_id].lease
    return lease.reason if lease.state == "revoked" else None


def test_a_lease_that_was_given_up_or_left_is_revoked_at_once_with_its_reason():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    gave_up = step(state, START + 1, beat(lease, 0, START + 1, 5, state="failed")).state
    assert revoked(gave_up, lease.lease_id) == "the volunteer gave it up."
    left = step(state, START + 1, want(0, START + 1, state="leaving")).state
    assert revoked(left, lease.lease_id) == "the volunteer is leaving."
    assert left.volunteers[PEOPLE[0].public_key].num_revoked == 1


def test_one_lease_in_order_does_not_save_the_next_one():
    state = step(run_of(3), START, *(want(who, START) for who in range(3))).state
    last = lease_of(state, "expert-2")
    who = [p.public_key for p in PEOPLE].index(last.volunteer)
    after = step(state, START + 1, beat(last, who, START + 1, 5, state="failed")).state
    assert revoked(after, last.lease_id) == "the volunteer gave it up."
    first, second = (lease_of(state, f"expert-{k}") for k in (0, 1))
    owners = [[p.public_key for p in PEOPLE].index(lease.volunteer) for lease in (first, second)]
    both = [beat(lease, who, START + 1, 5, state="failed") for lease, who in zip((first, second), owners, strict=True)]
    after = step(state, START + 1, *both).state
    assert revoked(after, first.lease_id)
    assert revoked(after, second.lease_id)


@pytest.mark.parametrize(("up_s", "late"), [(100, False), (100.1, True)])
def test_no_lease_is_late_before_the_coordinator_was_up_for_a_grace(up_s, late):
    state = step(run_of(1), START, want(0, START)).state
    lease, now = lease_of(state), START + 5000
    after = tick(state, [], POLICY, now, watching_since=now - up_s).state
    assert (revoked(after, lease.lease_id) is not None) == late


def test_a_late_lease_names_the_step_and_the_grace():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    says = "of 1000 is behind the deadline curve and the grace of 100 s is over."
    assert revoked(step(state, START + 500).state, lease.lease_id) == f"step 0 {says}"
    state = step(state, START + 100, beat(lease, 0, START + 100, 7)).state
    assert revoked(step(state, START + 500).state, lease.lease_id) == f"step 7 {says}"
    kept = step(state, START + 101, beat(lease, 0, START + 101, 900)).state
    assert revoked(step(kept, START + 500).state, lease.lease_id) is None


@pytest.mark.parametrize("word", ["uploading", "waiting-verdict"])
def test_finished_work_has_two_graces_after_the_deadline_to_arrive(word):
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = step(state, START + 100, beat(lease, 0, START + 100, 1000, state=word)).state
    assert revoked(step(state, START + 1199.9).state, lease.lease_id) is None
    assert revoked(step(state, START + 1200).state, lease.lease_id) == "the finished work did not arrive in time."
