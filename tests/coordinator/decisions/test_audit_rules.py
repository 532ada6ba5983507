"""The rules of audits one by one: who may be drawn, for how long they wait, and what ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import (
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
    with_auditor_gone,
    work,
)
from tick_world import PEOPLE, START, beat, sealed

from paris.coordinator.decisions.auditors import drawn_for, may_ever_be_audited, secret_number
from paris.coordinator.decisions.clock_moves import without_future
from paris.coordinator.decisions.observations import AuditNeeded, AuditReceived
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.audits import AuditNeed, AuditState
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.work_records import Lease

OPENED_AT = START + 20
BEN = PEOPLE[1].public_key


def with_work(state: State, **fields) -> State:
    """The state with other fields in the judged work."""
    known = work(state).model_copy(update=fields)
    return replace(state, submissions={**state.submissions, known.submission.lease_id: known})


def with_volunteer(state: State, who: int, **fields) -> State:
    key = PEOPLE[who].public_key
    return replace(state, volunteers={**state.volunteers, key: state.volunteers[key].model_copy(update=fields)})


def without_volunteer(state: State, who: int) -> State:
    volunteers = {key: known for key, known in state.volunteers.items() if key != PEOPLE[who].public_key}
    return replace(state, volunteers=volunteers)


def test_the_lease_of_an_audit_and_its_row_say_the_same_and_the_log_tells():
    decision = opened(handed_in(auditors=(1,)))
    state = decision.state
    (lease,) = auditing(state)
    assert state.audits[lease.lease_id] == AuditState(
        lease_id=lease.lease_id,
        leg=judged_lease(state),
        task_id="expert-0",
        volunteer=BEN,
        name="v1",
        start_step=0,
        end_step=100,
        nonce=lease.audit.nonce,
        granted_at=OPENED_AT,
    )
    assert [event.text for event in decision.events] == [
        "expert-0: the audit of v0's steps 0 to 100 waits for an auditor.",
        "expert-0: the audit of v0's steps 0 to 100 is leased to v1.",
    ]
    after = step(state, START + 30, result(lease, START + 30))
    assert after.state.leases[lease.lease_id].lease.reason == "The audit arrived."
    assert [event.text for event in after.events] == ["expert-0: the audit of v0's steps 0 to 100 arrived from v1."]


def test_audits_of_a_task_are_numbered_and_each_has_a_nonce_of_its_own_that_only_the_run_can_tell():
    state = opened(handed_in()).state
    leases = auditing(state)
    state = step(state, START + 30, result(leases[0], START + 30)).state
    leases += auditing(step(state, START + 31, AuditNeeded(judged_lease(state), NEED)).state)
    assert [lease.attempt for lease in leases] == [1, 2]
    nonces = {lease.audit.nonce for lease in leases}
    other = AUDITED.model_copy(update={"draw_key": "77" * 32})
    needed = AuditNeeded(judged_lease(state), NEED)
    nonces |= {lease.audit.nonce for lease in auditing(step(handed_in(), OPENED_AT, needed, policy=other).state)}
    assert len(nonces) == 3
    for nonce in nonces:
        assert len({nonce[place : place + 16] for place in range(0, 64, 16)}) == 4, "four numbers, none twice"


def test_a_secret_number_is_below_two_to_the_64():
    numbers = [secret_number(AUDITED, f"{number}") for number in range(64)]
    assert 2**60 < max(numbers) < 2**64
    assert len(set(numbers)) == 64


@pytest.mark.parametrize(("life_s", "is_drawn"), [(9.0, True), (8.9, False)])
def test_an_auditor_is_present_for_the_life_of_its_want(life_s, is_drawn):
    policy = AUDITED.model_copy(update={"want_life_s": life_s})
    state = handed_in(auditors=(1,))
    state = step(state, OPENED_AT, AuditNeeded(judged_lease(state), NEED), policy=policy).state
    assert bool(auditing(state)) is is_drawn


@pytest.mark.parametrize(("num_proven", "is_drawn"), [(1, True), (0, False)])
def test_one_verified_work_makes_an_auditor(num_proven, is_drawn):
    state = opened(with_volunteer(handed_in(auditors=(1,)), 1, num_proven=num_proven)).state
    assert bool(auditing(state)) is is_drawn
    assert work(state).is_replayed_here is not is_drawn


@pytest.mark.parametrize("why", ["takes none", "is banned"])
def test_who_takes_no_audits_or_is_banned_is_not_drawn(why):
    state = handed_in(auditors=(1, 2))
    if why == "takes none":
        state = step(state, START + 12, taker(1, START + 12, audits=False)).state
    else:
        state = step(state, START + 12, Order(OrderKind.BAN, BEN, "")).state
    for number in range(8):
        policy = AUDITED.model_copy(update={"draw_key": f"{number:064x}"})
        after = step(state, OPENED_AT, AuditNeeded(judged_lease(state), NEED), policy=policy).state
        assert [lease.volunteer for lease in auditing(after)] == [PEOPLE[2].public_key]


def test_work_may_be_audited_by_whoever_has_verified_work_takes_audits_and_had_none_of_it():
    state = with_auditor_gone()
    assert may_ever_be_audited(Draft(state), work(state)), "absent ones count"
    assert not may_ever_be_audited(Draft(with_volunteer(state, 1, num_proven=0)), work(state))
    assert may_ever_be_audited(Draft(with_volunteer(state, 1, num_proven=1)), work(state))
    assert not may_ever_be_audited(Draft(proven(without_volunteer(state, 1), 0)), work(state)), "not by its own"
    had = opened(handed_in(auditors=(1,))).state
    assert not may_ever_be_audited(Draft(had), work(had))


@pytest.mark.parametrize(("waits_s", "rounds"), [(600.0, 1), (600.1, 2)])
def test_a_drawn_auditor_has_its_time_and_is_drawn_again_where_nobody_else_is(waits_s, rounds):
    state = step(handed_in(auditors=(1,)), START + 12, taker(1, START + 12, "busy")).state
    state = opened(state).state
    assert (work(state).audit.drawn, work(state).audit.drawn_at) == (BEN, OPENED_AT)
    audit = work(step(state, OPENED_AT + waits_s).state).audit
    assert (audit.drawn, audit.round) == (BEN, rounds)


def test_where_all_that_could_be_drawn_have_left_nobody_is():
    state = step(handed_in(auditors=(1,)), START + 12, taker(1, START + 12, "busy")).state
    state = step(opened(state).state, START + 30, taker(1, START + 30, "leaving")).state
    audit = work(state).audit
    assert (audit.drawn, audit.round) == (None, 1)
    assert drawn_for(Draft(state), work(state), audit, AUDITED, START + 31) is audit


@pytest.mark.parametrize(("lease_s", "watched_s"), [(3600.0, 600.0), (300.0, 300.0)])
def test_an_audit_is_late_after_its_lease_and_ten_minutes_of_watching(lease_s, watched_s):
    policy = AUDITED.model_copy(update={"audit_s": lease_s})
    state = handed_in(auditors=(1,))
    state = step(state, OPENED_AT, AuditNeeded(judged_lease(state), NEED), policy=policy).state
    (lease,) = auditing(state)
    end = OPENED_AT + lease_s
    assert auditing(tick(state, [], policy, end).state) == [lease]
    late = tick(state, [], policy, end + 0.1)
    assert not auditing(late.state)
    assert late.state.leases[lease.lease_id].lease.reason == f"no audit came in {lease_s / 3600:.3g} hours."
    for passed_s, is_out in ((watched_s, True), (watched_s + 0.1, False)):
        now = end + 5000
        assert bool(auditing(tick(state, [], policy, now, now - passed_s).state)) is is_out


def lent(need: AuditNeed, **task_fields: float) -> tuple[State, Lease]:
    """A stretch that is leased to volunteer 1."""
    state = handed_in(auditors=(1,))
    row = state.tasks["expert-0"]
    row = row.model_copy(update={"task": row.task.model_copy(update=task_fields)})
    state = opened(replace(state, tasks={**state.tasks, "expert-0": row}), OPENED_AT, need=need).state
    (lease,) = auditing(state)
    return state, lease


def faults_of_the_auditor(state: State) -> int:
    return state.volunteers[PEOPLE[1].public_key].num_faults


def test_a_whole_leg_that_is_trained_again_has_the_time_that_a_leg_has():
    """Five hours of the deadline of 25, where the audit of a short stretch has one hour."""
    leg = AuditNeed(start_step=0, end_step=200, start=None)
    state, lease = lent(leg, deadline_s=90000.0, grace_s=100.0)
    assert lease.expires_at == OPENED_AT + 18000 + 100
    for hours in range(1, 6):
        now = OPENED_AT + 3600 * hours - 10
        state = step(state, now, beat(lease, 1, now, 39 * hours)).state
    assert auditing(step(state, lease.expires_at).state) == [lease]
    late = step(state, lease.expires_at + 1)
    assert not auditing(late.state)
    assert faults_of_the_auditor(late.state) == 0
    assert "no audit came in 5.03 hours" in " ".join(event.text for event in late.events)


@pytest.mark.parametrize(("reported_s", "num_faults"), [(0.0, 1), (600.0, 0)])
def test_an_auditor_of_a_whole_leg_that_falls_silent_keeps_it_from_nobody_for_long(reported_s, num_faults):
    """Who never reported has a fault."""
    state, lease = lent(AuditNeed(start_step=0, end_step=200, start=None), deadline_s=90000.0)
    if reported_s:
        state = step(state, OPENED_AT + reported_s, beat(lease, 1, OPENED_AT + reported_s, 5)).state
    assert auditing(step(state, OPENED_AT + reported_s + 3600).state) == [lease]
    state = step(state, OPENED_AT + reported_s + 3601).state
    assert not auditing(state)
    assert faults_of_the_auditor(state) == num_faults


def test_an_auditor_that_its_owner_pauses_has_no_fault():
    state, lease = lent(NEED)
    state = step(state, OPENED_AT + 3590, beat(lease, 1, OPENED_AT + 3590, 50, state="paused")).state
    state = step(state, OPENED_AT + 3601).state
    assert not auditing(state)
    assert faults_of_the_auditor(state) == 0


def test_a_restart_leaves_an_audit_its_time():
    state, lease = lent(AuditNeed(start_step=0, end_step=200, start=None), deadline_s=90000.0)
    assert without_future(state, OPENED_AT + 60, 600.0).leases[lease.lease_id].lease == lease


def test_an_auditor_that_leaves_gives_its_audit_back_without_a_fault():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    decision = step(state, START + 30, taker(1, START + 30, "leaving"))
    assert decision.state.audits[lease.lease_id].outcome == "lost"
    assert decision.state.leases[lease.lease_id].lease.reason == "the volunteer is leaving."
    assert decision.state.volunteers[BEN].num_faults == 0
    assert "expert-0: the audit by v1 ended: the volunteer is leaving." in [event.text for event in decision.events]


def test_a_forgotten_auditor_stops_nothing():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    late = step(without_volunteer(state, 1), OPENED_AT + 3601).state
    assert late.audits[lease.lease_id].outcome == "lost"
    arrived = without_volunteer(step(state, START + 30, result(lease, START + 30)).state, 1)
    arrived = with_work(arrived, is_replayed_here=True)
    judged = step(arrived, START + 31, verdict(arrived, True, vote(lease, False))).state
    assert judged.audits[lease.lease_id].outcome == "wrong"


@pytest.mark.parametrize(("waited_s", "is_over"), [(7200.0, False), (7200.1, True)])
def test_work_waits_for_an_audit_for_the_policys_time(waited_s, is_over):
    state = opened(with_auditor_gone()).state
    assert work(step(state, OPENED_AT + waited_s).state).is_replayed_here is is_over


@pytest.mark.parametrize(("num_lost", "is_over"), [(2, False), (3, True)])
def test_after_three_lost_audits_of_a_leg_the_organisers_machine_replays(num_lost, is_over):
    state = opened(with_auditor_gone()).state
    lost = AuditState(
        lease_id="", leg=judged_lease(state), task_id="expert-0", volunteer="f" * 64, name="x", start_step=0,
        end_step=100, nonce="b" * 64, granted_at=START, outcome="lost",
    )  # fmt: skip
    rows = [lost.model_copy(update={"lease_id": f"{number:032x}"}) for number in range(num_lost)]
    rows += [lost.model_copy(update={"lease_id": f"{9:032x}", "leg": "a" * 32})]
    state = replace(state, audits={row.lease_id: row for row in rows})
    assert work(step(state, START + 30).state).is_replayed_here is is_over


def test_an_audit_is_opened_only_for_work_that_is_seen_or_rechecked_and_once():
    state = handed_in(auditors=())
    assert step(state, OPENED_AT, AuditNeeded("f" * 32, NEED)).state == state
    accepted = with_work(with_auditor_gone(), phase="accepted")
    assert work(opened(accepted).state).audit is None
    waiting = opened(with_auditor_gone()).state
    later = AuditNeed(start_step=100, end_step=200, start=None)
    assert work(opened(waiting, START + 30, need=later).state).audit.end_step == 100


def test_an_audit_of_work_that_waits_for_none_any_more_is_void():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = with_work(state, audit=None, phase="accepted")
    after = step(state, START + 30, result(lease, START + 30)).state
    assert after.audits[lease.lease_id].outcome == "void"
    assert after.leases[lease.lease_id].lease.state == "released"
    unasked = step(state, START + 30)
    assert unasked.state.leases[lease.lease_id].lease.reason == "the work is judged already."
    assert unasked.state.audits[lease.lease_id].outcome == "void"


@pytest.mark.parametrize("false", [{"attempt": 2}, {"task_id": "expert-1"}])
def test_an_audit_of_another_attempt_or_task_is_not_taken(false):
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    wrong = result(lease.model_copy(update=false), START + 30)
    assert step(state, START + 30, wrong).state.audits == state.audits


def test_this_machines_refusal_says_nothing_of_a_stretch_that_an_auditor_agreed_with():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    refused = verdict(state, False, vote(lease, True))
    here = step(with_work(state, is_replayed_here=True), START + 31, refused).state
    assert here.audits[lease.lease_id].outcome == "void"
    by_votes = step(state, START + 31, refused).state
    assert by_votes.audits[lease.lease_id].outcome == "right"
    assert here.volunteers[BEN].num_faults == by_votes.volunteers[BEN].num_faults == 0


def test_a_verdict_by_a_vote_that_is_not_there_any_more_does_not_count():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    early = verdict(state, True, vote(lease, True))
    assert work(step(state, START + 31, early).state).verdict is None, "it has not arrived"
    unknown = vote(lease.model_copy(update={"lease_id": "f" * 32}), True)
    assert work(step(state, START + 31, verdict(state, True, unknown)).state).verdict is None


def test_an_arrived_audit_lets_verification_go_on_at_once():
    state = with_work(opened(handed_in(auditors=(1,))).state, retry_at=START + 500)
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    assert (work(state).phase, work(state).audit, work(state).retry_at) == ("seen", None, 0.0)


def test_the_oldest_work_gets_its_auditor_first_and_nobody_two_audits():
    state = opened(with_auditor_gone()).state
    older = work(state).model_copy(
        update={
            "seen_at": START,
            "submission": work(state).submission.model_copy(update={"lease_id": "e" * 32}),
            "signer": PEOPLE[3].public_key,
        }
    )
    state = replace(state, submissions={**state.submissions, "e" * 32: older})
    state = step(state, START + 30, taker(1, START + 30)).state
    assert [audit.leg for audit in state.audits.values()] == ["e" * 32]
    assert NAMES[auditing(state)[0].volunteer] == 1


def test_a_paused_run_gives_out_no_audit():
    state = step(opened(with_auditor_gone()).state, START + 30, Order(OrderKind.PAUSE, "run", "")).state
    assert not auditing(step(state, START + 31, taker(1, START + 31)).state)


def test_a_returned_audit_is_kept_without_the_lease_that_it_carried():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    received = result(lease, START + 30)
    carried = received.envelope.payload.model_copy(update={"lease": "sealed"})
    state = step(state, START + 30, AuditReceived(sealed(carried, PEOPLE[1], START + 30))).state
    assert state.audits[lease.lease_id].result == received.envelope.payload


def test_the_lease_of_an_audit_that_is_out_is_not_forgotten_however_old_it_is():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    row = state.tasks["expert-0"]
    old = row.model_copy(update={"task": row.task.model_copy(update={"attempt": 40})})
    now = lease.expires_at + 300
    state = replace(state, tasks={"expert-0": old})
    assert lease.lease_id in step(state, now, watching_since=now - 1).state.leases
    ended = step(state, now).state
    assert lease.lease_id not in step(ended, now + 1).state.leases
