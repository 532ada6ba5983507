"""Audits by volunteers: the lot, the leases, the majority, baits, and what is done where nobody audits."""

from __future__ import annotations

import pytest
from audits_world import (
    AUDITED,
    NAMES,
    NEED,
    auditing,
    handed_in,
    judged_lease,
    opened,
    proven,
    result,
    step,
    taker,
    verdict,
    vote,
    work,
)
from tick_world import PEOPLE, START, held, leg, sealed

from paris.coordinator.decisions.clock_moves import moved
from paris.coordinator.decisions.observations import (
    AuditNeeded,
    HeartbeatReceived,
    SnapshotsNeeded,
    SubmissionReceived,
    Verify,
)
from paris.coordinator.service.publisher import records_to_publish
from paris.coordinator.state.audits import Bait
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.store import Store
from paris.protocol.audits import PARTS
from paris.protocol.work_records import Heartbeat


def test_an_audit_is_leased_to_one_of_those_with_verified_work_and_the_work_waits():
    decision = opened(handed_in())
    (lease,) = auditing(decision.state)
    assert lease.volunteer in {PEOPLE[who].public_key for who in (1, 2, 3)}
    assert (lease.task_id, lease.start_step, lease.to_step, lease.audit.start) == ("expert-0", 0, 100, None)
    assert lease.expires_at == lease.granted_at + AUDITED.audit_s
    assert work(decision.state).phase == "auditing"
    assert not any(isinstance(action, Verify) for action in decision.actions)
    assert lease in records_to_publish(None, [], decision.state, START + 20)
    assert step(decision.state, START + 21).state.audits == decision.state.audits, "one auditor at a time"


def test_an_audit_that_arrived_goes_to_verification_and_its_lease_ends():
    state = opened(handed_in()).state
    (lease,) = auditing(state)
    decision = step(state, START + 30, result(lease, START + 30))
    assert decision.actions == (Verify(judged_lease(state)),)
    assert decision.state.leases[lease.lease_id].lease.state == "released"
    again = step(decision.state, START + 31, result(lease, START + 30))
    assert again.state.audits == decision.state.audits
    assert not auditing(again.state)


@pytest.mark.parametrize("who", [0, 2])
def test_only_the_auditor_itself_can_return_an_audit(who):
    state = proven(opened(handed_in(auditors=(1,))).state, 0)
    state = step(state, START + 21, taker(2, START + 21)).state
    (lease,) = auditing(state)
    assert NAMES[lease.volunteer] == 1
    assert step(state, START + 30, result(lease, START + 30, by=who)).state.audits == state.audits


@pytest.mark.parametrize("why", ["is gone", "has a fault", "copied a claim", "did the work itself"])
def test_who_may_not_audit_is_not_drawn(why):
    state = handed_in(auditors=(1, 2))
    key = PEOPLE[1].public_key
    known = state.volunteers[key]
    state = step(state, START + 12, taker(2, START + 12, "leaving")).state
    changes = {
        "is gone": {"want": known.want.model_copy(update={"state": "leaving"})},
        "has a fault": {"num_faults": 1, "faulted_at": START},
        "copied a claim": {"copied_at": START},
        "did the work itself": {},
    }
    if why == "did the work itself":
        state = step(state, START + 13, taker(1, START + 13, "leaving"), taker(0, START + 13)).state
        state = proven(state, 0)
    else:
        state.volunteers[key] = known.model_copy(update=changes[why])
    state = opened(state).state
    assert not auditing(state)
    assert work(state).phase == "auditing"


def test_the_lot_falls_on_busy_volunteers_too_and_waits_for_them_a_while():
    """A friend of the cheat that waits at the door gets no audit that falls on others."""
    drawn_of = set()
    for number in range(12):
        state = handed_in()
        busy = [taker(who, START + 12, "busy") for who in (1, 2)]
        state = step(state, START + 12, *busy).state
        policy = AUDITED.model_copy(update={"draw_key": f"{number:064x}"})
        needed = AuditNeeded(judged_lease(state), NEED)
        state = step(state, START + 20, needed, policy=policy).state
        drawn = NAMES[work(state).audit.drawn] if work(state).audit else 3
        drawn_of.add(drawn)
        assert bool(auditing(state)) == (drawn == 3), "only the drawn one gets it"
        if drawn != 3:
            state = step(state, START + 60, taker(drawn, START + 60), policy=policy).state
            assert [NAMES[lease.volunteer] for lease in auditing(state)] == [drawn]
    assert drawn_of == {1, 2, 3}


def test_who_takes_too_long_is_passed_over():
    state = step(
        handed_in(auditors=(1, 2)), START + 12, taker(1, START + 12, "busy"), taker(2, START + 12, "busy")
    ).state
    state = opened(state).state
    first = work(state).audit.drawn
    assert work(step(state, START + 20 + 599).state).audit.drawn == first
    state = step(state, START + 20 + 601).state
    assert work(state).audit.drawn not in (first, None)
    assert work(state).audit.round == 2


def test_an_audit_that_is_given_up_goes_to_another_one():
    state = opened(handed_in()).state
    (lease,) = auditing(state)
    payload = Heartbeat(lease_id=lease.lease_id, task_id=lease.task_id, attempt=lease.attempt, state="failed", step=0)
    given_up = HeartbeatReceived(sealed(payload, PEOPLE[NAMES[lease.volunteer]], START + 30))
    state = step(state, START + 30, given_up).state
    (other,) = auditing(state)
    assert other.volunteer != lease.volunteer
    assert state.leases[lease.lease_id].lease.state == "revoked"
    assert state.volunteers[lease.volunteer].num_faults == 0


def test_a_late_auditor_has_a_fault_but_not_so_soon_after_a_start():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    late = START + 20 + 3601
    assert auditing(step(state, late, watching_since=late - 599).state) == [lease]
    state = step(state, late).state
    assert not auditing(state)
    assert state.volunteers[lease.volunteer].num_faults == 1


def with_auditor_gone() -> State:
    """The only auditor of the run has left for now."""
    return step(handed_in(auditors=(1,)), START + 12, taker(1, START + 12, "leaving")).state


def test_the_first_work_of_a_run_is_replayed_by_the_organiser_at_once():
    state = opened(handed_in(auditors=())).state
    assert work(state).is_replayed_here
    state = opened(step(handed_in(auditors=()), START + 12, taker(1, START + 12)).state).state
    assert work(state).is_replayed_here, "a fresh key is no auditor"


def test_where_nobody_audits_for_long_the_organisers_machine_replays():
    state = opened(with_auditor_gone()).state
    assert work(step(state, START + 20 + 7199).state).phase == "auditing"
    decision = step(state, START + 20 + 7201)
    assert work(decision.state).is_replayed_here
    assert Verify(judged_lease(state)) in decision.actions


def test_a_start_from_which_nobody_can_train_is_replayed_by_the_organiser():
    state = opened(handed_in()).state
    for number in range(3):
        (lease,) = auditing(state)
        payload = Heartbeat(
            lease_id=lease.lease_id, task_id=lease.task_id, attempt=lease.attempt, state="failed", step=0
        )
        now = START + 30 + number
        state = step(state, now, HeartbeatReceived(sealed(payload, PEOPLE[NAMES[lease.volunteer]], now))).state
    assert work(state).is_replayed_here


def test_no_work_can_be_handed_in_under_the_lease_of_an_audit():
    state = opened(handed_in()).state
    (lease,) = auditing(state)
    who = NAMES[lease.volunteer]
    honest = leg(held(state), 0, START + 25).envelope.payload
    ids = {"lease_id": lease.lease_id, "task_id": lease.task_id, "attempt": lease.attempt}
    stolen = SubmissionReceived(sealed(honest.model_copy(update=ids), PEOPLE[who], START + 25))
    assert lease.lease_id not in step(state, START + 25, stolen).state.submissions


BAIT = Bait(
    start_step=0, end_step=100, start=None, nonce="b" * 64,
    claim=dict.fromkeys(PARTS, (2.0,) * 64), right=dict.fromkeys(PARTS, (1.0,) * 64),
)  # fmt: skip


def test_a_refusal_keeps_its_baits_and_audits_survive_a_restart(tmp_path):
    state = opened(handed_in()).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    refused = verdict(state, False, vote(lease, False, True), baits=(BAIT,))
    state = step(state, START + 31, refused).state
    assert work(state).baits == (BAIT,)
    assert state.audits[lease.lease_id].outcome == "right"
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), state, [], START)
    assert store.load() == state


def test_work_that_is_judged_otherwise_needs_no_audit_any_more():
    state = opened(handed_in()).state
    (lease,) = auditing(state)
    state = step(state, START + 30, Order(OrderKind.BAN, PEOPLE[0].public_key, "because")).state
    assert work(state).phase in ("rejected", "closed")
    assert not auditing(state)
    assert state.leases[lease.lease_id].lease.state == "revoked"


def test_who_audited_a_cheat_that_then_stays_silent_is_paid():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    state = step(state, START + 31, SnapshotsNeeded(judged_lease(state), (100,))).state
    assert work(state).phase == "challenged"
    assert state.audits[lease.lease_id].outcome == "arrived"
    state = step(state, START + 32 + AUDITED.answer_s).state
    assert work(state).phase == "rejected"
    audit = state.audits[lease.lease_id]
    assert (audit.outcome, audit.result) == ("unused", None)
    assert {credit.public_key: credit.audited_steps for credit in credits_of(state)} == {lease.volunteer: 100}


@pytest.mark.parametrize("has_arrived", [False, True])
def test_the_audits_of_a_banned_volunteer_do_not_count_and_another_one_is_drawn(has_arrived):
    state = opened(handed_in(auditors=(1, 2))).state
    (lease,) = auditing(state)
    other = next(PEOPLE[who].public_key for who in (1, 2) if PEOPLE[who].public_key != lease.volunteer)
    if has_arrived:
        state = step(state, START + 30, result(lease, START + 30)).state
    state = step(state, START + 31, Order(OrderKind.BAN, lease.volunteer, "because")).state
    assert state.audits[lease.lease_id].outcome == "void"
    state = step(state, START + 32, result(lease, START + 32)).state
    assert state.audits[lease.lease_id].outcome == "void"
    state = step(state, START + 33, verdict(state, True, vote(lease, True))).state
    assert work(state).verdict is None, "its vote does not count"
    state = step(state, START + 34, AuditNeeded(judged_lease(state), NEED)).state
    assert [lease.volunteer for lease in auditing(state)] == [other]


def test_a_pause_of_the_run_is_no_time_in_which_nobody_audits():
    state = step(opened(with_auditor_gone()).state, START + 120, Order(OrderKind.PAUSE, "run", "holiday")).state
    paused = step(state, START + 120 + 86400).state
    assert work(paused).phase == "auditing"
    assert not work(paused).is_replayed_here
    state = step(paused, START + 120 + 86400, Order(OrderKind.UNPAUSE, "run", "")).state
    assert work(state).audit.opened_at == START + 20 + 86400
    assert not work(step(state, START + 20 + 86400 + 7200).state).is_replayed_here
    assert work(step(state, START + 20 + 86400 + 7201).state).is_replayed_here


def test_a_lot_that_fell_before_a_pause_stands_after_it():
    state = step(handed_in(auditors=(1, 2)), START + 12, *(taker(who, START + 12, "busy") for who in (1, 2))).state
    state = opened(state).state
    drawn = work(state).audit.drawn
    state = step(state, START + 30, Order(OrderKind.PAUSE, "run", "")).state
    state = step(state, START + 30 + 3600, Order(OrderKind.UNPAUSE, "run", "")).state
    assert (work(state).audit.drawn, work(state).audit.drawn_at) == (drawn, START + 20 + 3600)


def test_times_of_audits_move_with_the_clock():
    state = opened(with_auditor_gone()).state
    assert work(moved(state, State(), 60.0)).audit.opened_at == START + 80
    state = opened(handed_in()).state
    (audit,) = moved(state, State(), 60.0).audits.values()
    assert audit.granted_at == START + 80


def test_a_run_whose_volunteers_audit_no_more_replays_what_waits():
    state = opened(with_auditor_gone()).state
    state = step(state, START + 30, policy=AUDITED.model_copy(update={"audits": False})).state
    assert work(state).is_replayed_here
