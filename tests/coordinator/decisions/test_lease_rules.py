"""Leases rule by rule: parallel ones, whose turn a next leg is, and the speed by which its length is reckoned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_leases import revoked, with_volunteer
from test_leg_rules import work as handed_in_work
from tick_world import (
    LEGS,
    PEOPLE,
    POLICY,
    START,
    beat,
    handed_in,
    held,
    lease_of,
    leg,
    leg_step,
    run_of,
    step,
    task,
    want,
    who_holds,
)

from paris.coordinator.decisions.leases import busy_volunteers, may_hold
from paris.coordinator.decisions.parallel import MOST_LEASES, end_others, free_places, live_leases, shows_work
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State
from paris.protocol.limits import MAX_ATTEMPT

GRACE_S = task(0).task.grace_s
SPEEDY = LEGS.model_copy(update={"leg_s": 100.0, "leg_steps": 100})


def idle(num_tasks: int = 1, **fields: int) -> tuple[State, float]:
    """Tasks under leases of which none has shown a step for half of the grace."""
    state = step(run_of(num_tasks, **fields), START, *(want(who, START) for who in range(num_tasks))).state
    return state, START + GRACE_S / 2


def test_an_idle_task_has_as_many_places_as_it_has_not_live_leases():
    state, now = idle()
    assert free_places(Draft(state), POLICY, now) == {"expert-0": MOST_LEASES - 1}
    assert free_places(Draft(state), POLICY, now - 0.1) == {}
    two = step(state, now, want(0, now, "busy"), want(1, now)).state
    assert free_places(Draft(two), POLICY, now) == {"expert-0": MOST_LEASES - 2}


def test_a_task_of_the_last_attempt_or_that_is_handed_in_has_no_place():
    state, now = idle()
    row = state.tasks["expert-0"]
    last = row.model_copy(update={"task": row.task.model_copy(update={"attempt": MAX_ATTEMPT})})
    before = row.model_copy(update={"task": row.task.model_copy(update={"attempt": MAX_ATTEMPT - 1})})
    for one, places in ((last, {}), (before, {"expert-0": MOST_LEASES - 1}), (row.submitted(), {})):
        assert free_places(Draft(replace(state, tasks={"expert-0": one})), POLICY, now) == places


@pytest.mark.parametrize(("passed_s", "places"), [(0.0, MOST_LEASES - 1), (0.1, 0)])
def test_a_lease_that_was_given_up_counts_for_a_grace_from_its_grant(passed_s, places):
    state = step(run_of(1), START, want(0, START)).state
    state = step(state, START + 60, want(0, START + 60, "leaving"), want(1, START + 60)).state
    assert who_holds(state) == 1
    found = free_places(Draft(state), POLICY, START + GRACE_S + passed_s)
    assert found == ({"expert-0": places} if places else {})


def test_each_lease_that_reported_steps_and_came_to_nothing_adds_a_place_until_work_is_verified():
    state, now = run_of(1), START
    for number in range(3):
        state = step(state, now, want(number, now)).state
        state = step(state, now + 1, beat(lease_of(state), number, now + 1, 5)).state
        assert free_places(Draft(state), POLICY, now + 2) == ({"expert-0": number} if number else {})
        state = step(state, now + 2, want(number, now + 2, "leaving")).state
        now += 10
    state = step(state, now, want(3, now)).state
    state = step(state, now + 1, beat(lease_of(state), 3, now + 1, 5)).state
    head = handed_in_work(2, 100)
    row = state.tasks["expert-0"].model_copy(update={"head_lease_id": head.submission.lease_id})
    after = replace(state, tasks={"expert-0": row}, submissions={head.submission.lease_id: head})
    assert free_places(Draft(after), POLICY, now + 2) == {"expert-0": 1}, "of attempt 3 alone"


def test_a_volunteer_that_fits_no_idle_task_gets_none_and_holds_up_nobody():
    state, now = idle(min_memory_bytes=10**9)
    small, large = want(1, now, memory_bytes=10**9 - 1), want(2, now)
    after = step(state, now, want(0, now, "busy"), small, large).state
    assert [row.lease.volunteer for row in live_leases(after)] == [PEOPLE[0].public_key, PEOPLE[2].public_key]


def test_of_idle_tasks_the_one_with_most_places_is_shared_first_and_of_equals_the_lower_number():
    state, now = idle(2)
    busy = [want(who, now, "busy") for who in (0, 1)]
    one = step(state, now, *busy, want(2, now)).state
    assert [row.lease.task_id for row in live_leases(one)].count("expert-0") == 2
    both = step(state, now, *busy, want(2, now), want(3, now)).state
    assert sorted(row.lease.task_id for row in live_leases(both)) == ["expert-0"] * 2 + ["expert-1"] * 2


def test_the_end_of_a_tasks_work_leaves_other_tasks_and_its_own_lease_alone():
    state, now = idle(2)
    state = step(state, now, *(want(who, now, "busy") for who in (0, 1)), want(2, now)).state
    kept = next(row.lease for row in live_leases(state) if row.lease.task_id == "expert-0")
    draft = Draft(state)
    end_others(draft, "expert-0", kept.lease_id, "done")
    ended = [row.lease for row in draft.leases.values() if row.lease.state == "revoked"]
    assert [(lease.task_id, lease.reason) for lease in ended] == [("expert-0", "done")]
    assert kept.lease_id not in {lease.lease_id for lease in ended}


@pytest.mark.parametrize(("at_step", "shows"), [(200, False), (201, True)])
def test_a_leg_shows_work_beyond_its_first_step(at_step, shows):
    state = leg_step(run_of(1), START, want(0, START)).state
    state = handed_in(state, START + 10, leg(held(state), 0, START + 10))
    state = leg_step(state, START + 20, want(0, START + 20)).state
    state = leg_step(state, START + 21, beat(lease_of(state), 0, START + 21, at_step)).state
    assert shows_work(held(state)) is shows


def stored_leg(says: str = "busy") -> State:
    """Volunteer 0's leg was stored at START + 12; it has said so much since."""
    state = leg_step(run_of(1), START, want(0, START)).state
    state = leg_step(state, START + 9, want(0, START + 9, says)).state
    return handed_in(state, START + 10, leg(held(state), 0, START + 10))


@pytest.mark.parametrize(("passed_s", "waits"), [(30.0, True), (30.1, False)])
def test_a_next_leg_waits_three_heartbeats_for_who_has_not_read_that_its_leg_was_stored(passed_s, waits):
    now = START + 12 + passed_s
    after = leg_step(stored_leg(), now, want(1, now)).state
    assert (after.tasks["expert-0"].lease_id is None) is waits


def test_a_next_leg_waits_for_nobody_that_waits_left_or_was_not_seen():
    left = leg_step(stored_leg(), START + 13, want(0, START + 13, "leaving"), want(1, START + 13)).state
    assert who_holds(left) == 1
    policy = LEGS.model_copy(update={"want_life_s": 4.0})
    assert tick(stored_leg(), [want(1, START + 13)], policy, START + 13).state.tasks["expert-0"].lease_id is None
    gone = tick(stored_leg(), [want(1, START + 13.1)], policy, START + 13.1).state
    assert who_holds(gone) == 1, "4 s after its last want"


def test_who_did_the_last_leg_comes_first_unless_it_has_a_fault_or_no_room():
    now = START + 50
    both = [want(0, now), want(1, now)]
    state = stored_leg()
    key = PEOPLE[1].public_key
    waiting = leg_step(state, START + 13, want(1, START + 13, "busy")).state
    proven = waiting.volunteers[key].model_copy(update={"num_accepted": 1, "waiting_since": START - 9})
    waiting = replace(waiting, volunteers={**waiting.volunteers, key: proven})
    assert who_holds(leg_step(waiting, now, *both).state) == 0
    ada = waiting.volunteers[PEOPLE[0].public_key].model_copy(update={"num_faults": 1, "faulted_at": START})
    faulty = replace(waiting, volunteers={**waiting.volunteers, ada.public_key: ada})
    assert who_holds(leg_step(faulty, now, *both).state) == 1
    row = waiting.tasks["expert-0"]
    large = row.model_copy(update={"task": row.task.model_copy(update={"min_memory_bytes": 10**9})})
    full = replace(waiting, tasks={"expert-0": large})
    assert who_holds(leg_step(full, now, want(0, now, memory_bytes=10**9 - 1), want(1, now)).state) == 1


def test_the_length_of_a_leg_follows_from_the_newest_speed_that_was_reported():
    state = tick(run_of(1), [want(0, START)], SPEEDY, START).state
    for seconds, speed in ((1, 9.0), (2, 3.5), (3, 0.0)):
        now = START + seconds
        state = tick(state, [beat(lease_of(state), 0, now, 10, steps_per_s=speed)], SPEEDY, now).state
    state = tick(state, [want(0, START + 4, "busy")], SPEEDY, START + 4).state
    early = next(iter(state.leases.values()))
    spoken = early.model_copy(
        update={
            "lease": early.lease.model_copy(update={"lease_id": "c" * 32, "state": "released"}),
            "heartbeat": early.heartbeat.model_copy(update={"steps_per_s": 3.5}),
            "heartbeat_at": START + 2,
        }
    )
    older = spoken.model_copy(
        update={
            "lease": spoken.lease.model_copy(update={"lease_id": "d" * 32}),
            "heartbeat": spoken.heartbeat.model_copy(update={"steps_per_s": 9.0}),
            "heartbeat_at": START + 1,
        }
    )
    others = spoken.model_copy(
        update={
            "lease": spoken.lease.model_copy(update={"lease_id": "e" * 32, "volunteer": PEOPLE[1].public_key}),
            "heartbeat_at": START + 9,
        }
    )
    state = handed_in(state, START + 10, leg(held(state), 0, START + 10, steps=100))
    leases = {row.lease.lease_id: row for row in (spoken, older, others)}
    now = START + 60
    after = tick(replace(state, leases={**state.leases, **leases}), [want(0, now)], SPEEDY, now).state
    assert (lease_of(after).start_step, lease_of(after).to_step) == (100, 400)


def test_an_auditor_is_busy_and_who_handed_in_is_while_its_task_waits():
    state = leg_step(run_of(2), START, want(0, START)).state
    state = leg_step(state, START + 10, leg(held(state), 0, START + 10)).state
    row = AuditState(
        lease_id="a" * 32, leg="b" * 32, task_id="expert-0", volunteer="c" * 64, name="x", start_step=0, end_step=1,
        nonce="b" * 64, granted_at=START,
    )  # fmt: skip
    rows = {
        "a" * 32: row,
        "d" * 32: row.model_copy(update={"lease_id": "d" * 32, "volunteer": "e" * 64, "outcome": "lost"}),
    }
    assert busy_volunteers(Draft(replace(state, audits=rows))) == {PEOPLE[0].public_key, "c" * 64}


@pytest.mark.parametrize(("age_s", "may"), [(60.0, True), (60.1, False)])
def test_who_waits_may_hold_a_lease_for_the_life_of_its_want(age_s, may):
    state = with_volunteer(State(), 0)
    assert may_hold(Draft(state), state.volunteers[PEOPLE[0].public_key], POLICY, START + age_s) is may


def test_a_lease_whose_work_was_handed_in_is_not_late():
    state = leg_step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = leg_step(state, START + 10, leg(held(state), 0, START + 10)).state
    assert revoked(leg_step(state, START + 9999).state, lease.lease_id) is None


def test_a_lease_that_is_taken_back_from_a_forgotten_volunteer_opens_its_task():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    after = step(replace(state, volunteers={}), START + 500).state
    assert revoked(after, lease.lease_id)
    assert after.tasks["expert-0"].task.state == "open"


def test_a_lease_names_its_stretch_and_size_in_the_log():
    decision = leg_step(run_of(1), START, want(0, START))
    assert [event.text for event in decision.events][-1] == "expert-0: leased to v0, steps 0 to 200, attempt 1."
    whole = step(run_of(1), START, want(0, START)).events
    assert whole[-1].text == "expert-0: leased to v0, attempt 1."
    state, now = idle()
    shared = step(state, now, want(0, now, "busy"), want(1, now)).events
    assert shared[-1].text == "expert-0: leased to v1 too, attempt 2."
