"""What comes of audits: votes and the organiser's machine, credits and faults."""

from __future__ import annotations

import pytest
from audits_world import (
    NEED,
    auditing,
    handed_in,
    judged_lease,
    opened,
    result,
    step,
    verdict,
    vote,
    work,
)
from tick_world import START

from paris.coordinator.decisions.observations import AuditNeeded
from paris.coordinator.state.audits import AuditNeed
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.events import EventKind


def test_two_of_three_decide_and_the_third_has_a_fault():
    state = opened(handed_in()).state
    (liar,) = auditing(state)
    state = step(state, START + 30, result(liar, START + 30)).state
    state = step(state, START + 31, AuditNeeded(judged_lease(state), NEED)).state
    (second,) = auditing(state)
    assert second.volunteer != liar.volunteer, "never the same auditor twice for one leg"
    state = step(state, START + 40, result(second, START + 40)).state
    state = step(state, START + 41, AuditNeeded(judged_lease(state), NEED)).state
    (third,) = auditing(state)
    state = step(state, START + 50, result(third, START + 50)).state
    votes = (vote(liar, False), vote(second, True), vote(third, True))
    decision = step(state, START + 51, verdict(state, True, *votes))
    state = decision.state
    assert work(state).phase == "accepted"
    assert [state.audits[lease.lease_id].outcome for lease in (liar, second, third)] == ["wrong", "right", "right"]
    assert state.volunteers[liar.volunteer].num_faults == 1
    assert state.volunteers[second.volunteer].num_faults == 0
    assert any("contradicted" in event.text for event in decision.events if event.kind is EventKind.PROBLEM)
    audited = {credit.public_key: credit.audited_steps for credit in credits_of(state)}
    assert audited[second.volunteer] == 100
    assert liar.volunteer not in audited


def test_two_of_three_refuse_and_who_agreed_with_the_claim_has_a_fault():
    state = opened(handed_in()).state
    leases = auditing(state)
    for number in (1, 2, 3):
        now = START + 20 + 10 * number
        state = step(state, now, result(leases[-1], now), AuditNeeded(judged_lease(state), NEED)).state
        state = step(state, now + 1, AuditNeeded(judged_lease(state), NEED)).state
        leases += auditing(state)
    honest, friend, other = leases
    votes = (vote(honest, False, True), vote(friend, True, False), vote(other, False, True))
    state = step(state, START + 60, verdict(state, False, *votes)).state
    assert [state.audits[lease.lease_id].outcome for lease in leases] == ["right", "wrong", "right"]
    assert [state.volunteers[lease.volunteer].num_faults for lease in leases] == [0, 1, 0]


@pytest.mark.parametrize("passed", [False, True])
def test_who_ended_elsewhere_than_the_organisers_machine_has_a_fault_though_the_majority_says_the_same(passed):
    """Two inventions, or an invention and a copy of it, refuse no honest work, and earn nothing of refused work."""
    state = opened(handed_in()).state
    (first,) = auditing(state)
    state = step(state, START + 30, result(first, START + 30)).state
    state = step(state, START + 31, AuditNeeded(judged_lease(state), NEED)).state
    (second,) = auditing(state)
    state = step(state, START + 40, result(second, START + 40)).state
    votes = (vote(first, False, not passed), vote(second, False, False))
    state = step(state, START + 41, verdict(state, passed, *votes)).state
    ends = ["wrong", "wrong"] if passed else ["right", "wrong"]
    assert [state.audits[lease.lease_id].outcome for lease in (first, second)] == ends
    assert state.volunteers[second.volunteer].num_faults == 1
    assert second.volunteer not in {credit.public_key for credit in credits_of(state) if credit.audited_steps}


def test_a_yes_to_work_that_two_others_refuse_is_a_fault_also_where_no_machine_confirms_it():
    state = opened(handed_in()).state
    leases = auditing(state)
    for now in (START + 30, START + 40):
        state = step(state, now, result(leases[-1], now)).state
        state = step(state, now + 1, AuditNeeded(judged_lease(state), NEED)).state
        leases += auditing(state)
    state = step(state, START + 50, result(leases[-1], START + 50)).state
    votes = [vote(lease, number == 1) for number, lease in enumerate(leases)]
    state = step(state, START + 60, verdict(state, False, *votes)).state
    assert [state.audits[lease.lease_id].outcome for lease in leases] == ["void", "wrong", "void"]


def test_a_no_that_the_organisers_machine_did_not_confirm_earns_nothing_and_is_no_fault():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    state = step(state, START + 31, verdict(state, False, vote(lease, False))).state
    assert state.audits[lease.lease_id].outcome == "void"
    assert state.volunteers[lease.volunteer].num_faults == 0


def test_one_against_one_is_nobodys_fault():
    """A verdict of an earlier version: the friend of a cheat would end the audits of an honest one."""
    state = opened(handed_in(auditors=(1, 2))).state
    (honest,) = auditing(state)
    state = step(state, START + 30, result(honest, START + 30)).state
    state = step(state, START + 31, AuditNeeded(judged_lease(state), NEED)).state
    (friend,) = auditing(state)
    state = step(state, START + 40, result(friend, START + 40)).state
    state = step(state, START + 41, verdict(state, True, vote(honest, False), vote(friend, True))).state
    assert [state.audits[lease.lease_id].outcome for lease in (honest, friend)] == ["void", "right"]
    assert state.volunteers[honest.volunteer].num_faults == 0


def test_of_refused_work_a_stretch_that_an_auditor_agreed_with_stands():
    """Two stretches were drawn, and the second is wrong: who found the first one right has no fault."""
    state = opened(handed_in()).state
    (first,) = auditing(state)
    state = step(state, START + 30, result(first, START + 30)).state
    later = AuditNeed(start_step=100, end_step=200, start=None)
    leases = []
    for number in (1, 2):
        now = START + 30 + 10 * number
        state = step(state, now, AuditNeeded(judged_lease(state), later)).state
        leases += auditing(state)
        state = step(state, now + 1, result(leases[-1], now + 1)).state
    second, third = leases
    votes = (vote(first, True), vote(second, False, True), vote(third, False, True))
    state = step(state, START + 60, verdict(state, False, *votes)).state
    assert [state.audits[lease.lease_id].outcome for lease in (first, second, third)] == ["right"] * 3


def test_where_the_organisers_machine_decides_a_wrong_no_has_a_fault():
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    state = step(state, START + 31, AuditNeeded(judged_lease(state), NEED)).state
    assert work(state).is_replayed_here, "nobody else can audit it"
    state = step(state, START + 40, verdict(state, True, vote(lease, False))).state
    assert state.audits[lease.lease_id].outcome == "wrong"
