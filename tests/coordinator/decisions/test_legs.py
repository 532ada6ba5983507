"""Legs of an expert: who gets the next one, where it starts and ends, and what becomes of late work."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from tick_world import (
    LEGS,
    PEOPLE,
    POLICY,
    START,
    beat,
    earned,
    handed_in,
    held,
    lease_of,
    leg,
    leg_step,
    leg_verdict,
    registration,
    run_of,
    step,
    stored,
    submission,
    verdict,
    want,
    who_holds,
)

from paris.coordinator.decisions.legs import end_of, kept_steps, start_of
from paris.coordinator.decisions.observations import Close, Register, StoreLeg, Verify
from paris.coordinator.decisions.tick import tick
from paris.protocol.audit_order import AuditOrder

ADA, BEN = PEOPLE[0].public_key, PEOPLE[1].public_key


def leased():
    return leg_step(run_of(1), START, want(0, START)).state


def one_leg_done(**work):
    state = leased()
    return handed_in(state, START + 10, leg(held(state), 0, START + 10, **work))


def test_without_legs_a_lease_names_none_and_with_legs_its_stretch_and_the_digest_of_a_secret():
    plain = lease_of(step(run_of(1), START, want(0, START)).state)
    assert (plain.start_step, plain.to_step, plain.draw_sha256) == (None, None, None)
    lease = lease_of(leased())
    assert (lease.start_step, lease.to_step) == (0, 200)
    assert len(lease.draw_sha256) == 64


@pytest.mark.parametrize(("length", "end"), [(200, 200), (250, 200), (1, 100), (999, 900), (1000, 1000), (5000, 1000)])
def test_a_leg_ends_at_a_scheduled_snapshot_or_at_the_tasks_end(length, end):
    assert end_of(run_of(1).tasks["expert-0"].task, 0.0, 0, LEGS.model_copy(update={"leg_steps": length})) == end


def test_the_last_leg_ends_with_the_task_between_two_snapshots():
    task = run_of(1).tasks["expert-0"].task.model_copy(update={"steps": 1030})
    assert end_of(task, 0.0, 0, LEGS.model_copy(update={"leg_steps": 1030})) == 1030
    assert end_of(task, 0.0, 0, LEGS.model_copy(update={"leg_steps": 1000})) == 1000


@pytest.mark.parametrize(("free_bytes", "end"), [(0, 300), (59, 300), (60, 400), (119, 400), (120, 500), (10**6, 500)])
def test_a_leg_of_hours_is_as_long_as_speed_and_disk_allow(free_bytes, end):
    task = one_leg_done(steps=100).tasks["expert-0"].task  # whose state takes 30 bytes
    hourly = LEGS.model_copy(update={"leg_s": 100.0})
    assert end_of(task, 0.0, free_bytes, hourly) == 300, "the usual length, before anything is known"
    assert end_of(task, 4.5, free_bytes, hourly) == end
    assert end_of(task, 0.01, free_bytes, hourly) == 300, "not less than usual"


def test_a_leg_of_hours_has_ten_stretches_however_slow_the_machine_is():
    """A replay of one then trains no more than a tenth of it again."""
    task = one_leg_done(steps=100).tasks["expert-0"].task.model_copy(update={"steps": 9000})
    hourly = LEGS.model_copy(update={"leg_s": 100.0, "leg_steps": 2000})
    assert end_of(task, 0.01, 0, hourly) == 100 + 10 * 100
    assert end_of(task, 15.0, 0, hourly) == 100 + 15 * 100


def test_the_speed_is_that_of_the_last_heartbeat():
    hourly = LEGS.model_copy(update={"leg_s": 100.0})
    state = tick(one_leg_done(), [want(0, START + 13)], hourly, START + 13).state
    seen = [beat(lease_of(state), 0, START + 20 + n, 210, steps_per_s=speed) for n, speed in enumerate((1.0, 3.0))]
    for observed in seen:
        state = tick(state, [observed], hourly, observed.envelope.issued_at).state
    state = tick(state, [want(0, START + 30, state="leaving")], hourly, START + 30).state
    state = tick(state, [want(0, START + 31)], hourly, START + 31).state
    assert (lease_of(state).start_step, lease_of(state).to_step) == (200, 500)


@pytest.mark.parametrize("of", ["another size", "an audit"])
def test_the_speed_of_other_work_says_nothing_about_the_length_of_a_leg(of):
    hourly = LEGS.model_copy(update={"leg_s": 100.0})
    state = tick(one_leg_done(), [want(0, START + 13)], hourly, START + 13).state
    other = {"size": 2} if of == "another size" else {"audit": AuditOrder(nonce="a" * 64, start=None)}
    was = held(state)
    changed = was.lease.model_copy(update={**other, "lease_id": "d" * 32, "state": "released"})
    heartbeat = beat(was.lease, 0, START + 15, 210, steps_per_s=9.0).envelope.payload
    kept = was.model_copy(update={"lease": changed, "heartbeat": heartbeat, "heartbeat_at": START + 15})
    state = replace(state, leases={**state.leases, "d" * 32: kept})
    state = tick(state, [want(0, START + 30, state="leaving")], hourly, START + 30).state
    state = tick(state, [want(0, START + 31)], hourly, START + 31).state
    assert (lease_of(state).start_step, lease_of(state).to_step) == (200, 400), "the usual length: no speed is known"


def test_a_verified_leg_opens_its_task_at_the_leg_end_and_the_next_lease_starts_there():
    state = leased()
    lease = lease_of(state)
    decision = leg_step(state, START + 10, leg(held(state), 0, START + 10), want(0, START + 10, state="busy"))
    assert decision.actions == (Verify(lease.lease_id),)
    decision = leg_step(decision.state, START + 11, leg_verdict(decision.state, lease))
    assert decision.actions == (StoreLeg(lease.lease_id),)
    state = leg_step(decision.state, START + 12, stored(decision.state.submissions[lease.lease_id])).state
    known = state.submissions[lease.lease_id]
    assert (known.phase, known.verdict.credit_steps, known.verdict.credit_s) == ("stored", 200, 10.0)
    assert hashlib.sha256(bytes.fromhex(known.verdict.draw_secret)).hexdigest() == lease.draw_sha256
    assert state.tasks["expert-0"].task.head.step == 200
    state = leg_step(state, START + 13, want(0, START + 13)).state
    assert (lease_of(state).start_step, lease_of(state).to_step, lease_of(state).attempt) == (200, 400, 2)
    assert held(state).start_commitment == known.submission.commitment


def test_an_early_hand_in_counts_as_far_as_it_went():
    state = one_leg_done(steps=100)
    assert start_of(state.tasks["expert-0"].task) == 100
    assert earned(state)[ADA].steps == 100


def test_the_last_leg_is_registered():
    state = leased()
    for end in (200, 400, 600, 800):
        now = START + 10 * end
        state = handed_in(state, now, leg(held(state), 0, now))
        state = leg_step(state, now + 3, want(0, now + 3)).state
    lease = lease_of(state)
    assert (lease.start_step, lease.to_step) == (800, 1000)
    state = leg_step(state, START + 9000, leg(held(state), 0, START + 9000)).state
    decision = leg_step(state, START + 9001, leg_verdict(state, lease))
    assert decision.actions == (Register(lease.lease_id),)
    done = leg_step(decision.state, START + 9002, registration(lease)).state
    assert done.tasks["expert-0"].task.state == "registered"
    assert earned(done)[ADA].steps == 1000


def test_who_did_the_last_leg_comes_first_for_the_next_and_is_waited_for_until_it_can_know():
    state = leased()
    work = leg(held(state), 0, START + 10)
    state = leg_step(state, START + 5, want(1, START + 5), want(0, START + 5, state="busy")).state
    state = handed_in(state, START + 10, work)
    assert state.tasks["expert-0"].lease_id is None, "ben waits, but ada may go on"
    back = leg_step(state, START + 20, want(0, START + 20)).state
    assert who_holds(back) == 0
    gone = leg_step(state, START + 20, want(0, START + 20, state="leaving")).state
    assert who_holds(gone) == 1
    slow = leg_step(state, START + 13 + 3 * LEGS.heartbeat_every_s, want(0, START + 43, state="busy")).state
    assert who_holds(slow) == 1


def test_who_did_the_last_leg_gets_no_other_that_its_machine_cannot_hold():
    state = leased()
    work = leg(held(state), 0, START + 10)
    state = handed_in(leg_step(state, START + 5, want(0, START + 5, state="busy")).state, START + 10, work)
    task = state.tasks["expert-0"]
    grown = task.model_copy(update={"task": task.task.model_copy(update={"min_memory_bytes": 10**9})})
    state = replace(state, tasks={"expert-0": grown})
    small = leg_step(state, START + 20, want(0, START + 20, memory_bytes=10**9 - 1), want(1, START + 20)).state
    assert who_holds(small) == 1


def overtaken():
    """Ada's lease was taken back, ben did the same leg; the state, and ada's lease."""
    state = leased()
    late = held(state)
    state = leg_step(state, START + 1, want(0, START + 1, state="leaving"), want(1, START + 1)).state
    return handed_in(state, START + 10, leg(held(state), 1, START + 10)), late


def test_late_work_that_equals_the_verified_leg_is_accepted_for_credit_without_a_verification():
    state, late = overtaken()
    decision = leg_step(state, START + 20, leg(late, 0, START + 20))
    assert decision.actions == (Close(late.lease.lease_id),)
    known = decision.state.submissions[late.lease.lease_id]
    assert known.verdict.accepted
    assert (known.verdict.credit_steps, known.verdict.reason) == (200, "Equal to the verified leg by v1, in every bit.")
    assert decision.state.volunteers[ADA].num_accepted == 0, "it proves no work"
    earned_by = earned(decision.state)
    assert (earned_by[ADA].steps, earned_by[ADA].repeated_steps, earned_by[BEN].steps) == (0, 200, 200)
    again = leg_step(decision.state, START + 21, leg(late, 0, START + 21))
    assert again.state.submissions == decision.state.submissions


def test_late_work_that_differs_is_rejected_without_fault_and_both_are_named():
    state, late = overtaken()
    faults = state.volunteers[ADA].num_faults
    decision = leg_step(state, START + 20, leg(late, 0, START + 20, by="a cheat"))
    known = decision.state.submissions[late.lease.lease_id]
    assert (known.phase, known.verdict.accepted) == ("rejected", False)
    assert decision.state.volunteers[ADA].num_faults == faults
    (problem,) = [event.text for event in decision.events if event.kind == "problem"]
    assert f"v1 ({BEN[:8]}), verified, and by v0 ({ADA[:8]}) differ" in problem


def test_a_run_that_trains_nothing_again_names_a_leg_from_which_a_known_volunteers_late_work_differs():
    state, late = overtaken()
    known = state.volunteers[ADA].model_copy(update={"num_proven": 1})
    state = replace(state, volunteers={**state.volunteers, ADA: known})
    decision = leg_step(state, START + 20, leg(late, 0, START + 20, by="a cheat"))
    _, named = [event.text for event in decision.events if event.kind == "problem"]
    assert "paris-coord roll-back" in named


def test_one_key_gets_no_credit_twice_for_one_leg():
    state = leased()
    late = held(state)
    state = leg_step(state, START + 1, beat(late.lease, 0, START + 1, 0, "failed")).state
    state = leg_step(state, START + 2, want(0, START + 2)).state
    state = handed_in(state, START + 10, leg(held(state), 0, START + 10))
    state = leg_step(state, START + 20, leg(late, 0, START + 20)).state
    assert not state.submissions[late.lease.lease_id].verdict.accepted
    assert earned(state)[ADA].repeated_steps == 0


def test_late_work_that_goes_beyond_the_head_is_judged_and_credited_for_what_it_adds():
    state = leased()
    late = held(state)
    state = leg_step(state, START + 1, want(0, START + 1, state="leaving"), want(1, START + 1)).state
    state = handed_in(state, START + 10, leg(held(state), 1, START + 10, steps=100))
    decision = leg_step(state, START + 20, leg(late, 0, START + 20))
    assert Verify(late.lease.lease_id) in decision.actions
    state = leg_step(decision.state, START + 21, leg_verdict(decision.state, late.lease)).state
    state = leg_step(state, START + 22, stored(state.submissions[late.lease.lease_id])).state
    assert start_of(state.tasks["expert-0"].task) == 200
    assert (earned(state)[ADA].steps, earned(state)[BEN].steps) == (100, 100)


def test_work_whose_head_moved_while_it_was_judged_is_judged_again():
    state = leased()
    first = held(state)
    state = leg_step(state, START + 1, want(0, START + 1, state="leaving"), want(1, START + 1)).state
    second = held(state)
    state = leg_step(state, START + 10, leg(first, 0, START + 10), leg(second, 1, START + 10, steps=100)).state
    judged_before = leg_verdict(state, first.lease)
    state = leg_step(state, START + 11, leg_verdict(state, second.lease)).state
    waiting = leg_step(state, START + 12, judged_before)
    assert waiting.state.submissions[first.lease.lease_id].phase == "seen"
    assert waiting.actions == (StoreLeg(second.lease.lease_id),), "one state at a time"
    state = leg_step(waiting.state, START + 13, stored(waiting.state.submissions[second.lease.lease_id])).state
    again = leg_step(state, START + 14, judged_before)
    assert again.state.submissions[first.lease.lease_id].phase == "seen"
    assert Verify(first.lease.lease_id) in again.actions
    accepted = leg_step(again.state, START + 15, leg_verdict(again.state, first.lease)).state
    assert accepted.submissions[first.lease.lease_id].phase == "accepted"


def test_a_vanished_volunteer_costs_its_leg_alone():
    state = one_leg_done()
    state = leg_step(state, START + 40, want(0, START + 40)).state
    gone_at = START + 41 + 20 + 200 + 101  # 200 steps of 1000 have 200 s, 20 of them to start up
    state = leg_step(state, gone_at, want(1, gone_at)).state
    assert who_holds(state) == 1
    assert (lease_of(state).start_step, lease_of(state).attempt) == (200, 3)


def test_states_of_the_last_three_legs_and_of_each_tenth_are_kept():
    kept: set[int] = set()
    for end in range(25, 1001, 25):
        kept = kept_steps(kept | {end}, 1000)
    assert sorted(kept) == [100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 975, 1000]


def test_a_run_without_legs_pays_its_whole_experts_too():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = step(state, START + 7, submission(lease, 0, START + 7), verdict(lease, True), registration(lease)).state
    assert (earned(state)[ADA].steps, earned(state)[ADA].seconds) == (1000, 7.0)
    assert state.submissions[lease.lease_id].verdict.credit_steps is None, "records stay as they were"
    assert tick(state, [], POLICY, START + 8).actions == ()
