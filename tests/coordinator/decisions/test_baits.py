"""Baits: audits whose claim is known to be wrong show who copies claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import (
    AUDITED,
    BAIT,
    NEED,
    auditing,
    handed_in,
    judged_lease,
    opened,
    result,
    step,
    taker,
    verdict,
    vote,
    work,
)
from tick_world import PEOPLE, START

from paris.coordinator.decisions.observations import AuditNeeded
from paris.coordinator.state.model import State

BAITED = AUDITED.model_copy(update={"bait_rate": 1.0})


def with_bait() -> State:
    """A leg of another task was refused; volunteer 0's waits for its audit."""
    state = handed_in(auditors=(1,))
    refused = work(state).model_copy(
        update={
            "phase": "closed",
            "signer": PEOPLE[3].public_key,
            "submission": work(state).submission.model_copy(update={"lease_id": "e" * 32}),
            "baits": (BAIT,),
        }
    )
    submissions = {**state.submissions, "e" * 32: refused}
    return replace(state, submissions=submissions)


def test_a_bait_looks_like_an_audit_and_who_returns_the_claim_audits_no_more():
    state = with_bait()
    state = step(state, START + 20, AuditNeeded(judged_lease(state), NEED), policy=BAITED).state
    (lease,) = auditing(state)
    assert (lease.audit.nonce, lease.start_step, lease.to_step) == (BAIT.nonce, 0, 100)
    assert state.submissions["e" * 32].baits == (), "each is used once"
    copied = step(state, START + 30, result(lease, START + 30, value=2.0), policy=BAITED)
    key = lease.volunteer
    assert copied.state.volunteers[key].copied_at == START + 30
    assert any("audits no more" in event.text for event in copied.events)
    assert not auditing(copied.state)
    honest = step(state, START + 30, result(lease, START + 30, value=1.0), policy=BAITED).state
    assert honest.volunteers[key].copied_at == 0.0
    assert honest.audits[lease.lease_id].outcome == "right"
    invented = step(state, START + 30, result(lease, START + 30, value=3.0), policy=BAITED)
    assert invented.state.audits[lease.lease_id].outcome == "wrong", "neither the claim nor the right end"
    assert invented.state.volunteers[key].num_faults == 1
    assert not auditing(invented.state)
    assert any("is contradicted" in event.text for event in invented.events)
    state = step(honest, START + 31, taker(1, START + 31), policy=BAITED).state
    (real,) = auditing(state)
    assert real.audit.nonce != BAIT.nonce, "the audit itself comes next"


@pytest.mark.parametrize("value", [2.0, 3.0])
def test_a_failed_bait_voids_what_the_auditor_said_of_work_that_still_waits(value):
    state = opened(handed_in(auditors=(1,))).state
    (lease,) = auditing(state)
    state = step(state, START + 30, result(lease, START + 30)).state
    bait = state.audits[lease.lease_id].model_copy(
        update={"lease_id": "f" * 32, "bait": BAIT, "outcome": "waiting", "result": None}
    )
    baited = state.leases[lease.lease_id].model_copy(
        update={"lease": lease.model_copy(update={"lease_id": "f" * 32, "attempt": 2})}
    )
    state.audits["f" * 32], state.leases["f" * 32] = bait, baited
    failed = result(baited.lease, START + 31, value=value)
    state = step(state, START + 31, failed).state
    assert state.audits[lease.lease_id].outcome == "void"
    decision = step(state, START + 32, verdict(state, True, vote(lease, True)))
    assert work(decision.state).phase == "seen", "judged again, without that vote"
