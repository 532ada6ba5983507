"""Which leases admit a record, at the judge of a peer."""

import pytest
from protocol_samples import (
    ANSWER,
    COORDINATOR,
    HEARTBEAT,
    LEASE,
    NOW,
    RUN_ID,
    STRANGER,
    SUBMISSION,
    TASK,
    VOLUNTEER,
    admitted,
    sealed,
)

from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.keys import dht_key, part_of, subkey_of
from paris.protocol.refusals import Reason
from paris.protocol.runid import make_run_id
from paris.protocol.validator import Accepted, RecordJudge


def judged(payload, *, now=NOW + 1, coordinator=COORDINATOR.public_key):
    """The verdict on a volunteer's record that is in its place; the reason if it is refused."""
    judge = RecordJudge(RUN_ID, coordinator, lambda: now)
    envelope = sealed(payload, VOLUNTEER, issued_at=now)
    key = dht_key(RUN_ID, envelope.kind, part_of(payload, envelope.signer, 1))
    verdict = judge.judge(key, subkey_of(payload, envelope.signer), envelope.data, envelope.expires_at)
    return verdict if isinstance(verdict, Accepted) else verdict.reason


def with_lease(payload, lease, signer=COORDINATOR, run_id=RUN_ID):
    return payload.model_copy(update={"lease": sealed(lease, signer, run_id=run_id).data.decode()})


@pytest.mark.parametrize("payload", [HEARTBEAT, SUBMISSION, ANSWER])
def test_only_a_lease_admits_the_records_of_work(payload):
    assert judged(payload) == Reason.NO_LEASE
    assert isinstance(judged(admitted(payload, VOLUNTEER)), Accepted)
    assert isinstance(judged(admitted(payload, VOLUNTEER), coordinator=None), Accepted)


@pytest.mark.parametrize(
    "change",
    [
        {"volunteer": STRANGER.public_key},
        {"lease_id": "0" * 32},
        {"task_id": "expert-1"},
        {"attempt": 2},
    ],
)
def test_a_lease_of_other_work_admits_nothing(change):
    assert judged(with_lease(HEARTBEAT, LEASE.model_copy(update=change))) == Reason.FOREIGN_LEASE


@pytest.mark.parametrize(
    "payload",
    [
        with_lease(HEARTBEAT, LEASE, STRANGER),
        with_lease(HEARTBEAT, LEASE, run_id=make_run_id("other", COORDINATOR.public_key)),
        with_lease(HEARTBEAT, TASK),
        HEARTBEAT.model_copy(update={"lease": "{}"}),
        HEARTBEAT.model_copy(update={"lease": sealed(LEASE).data.decode().replace('"attempt":1', '"attempt":2')}),
    ],
)
def test_what_the_runs_key_did_not_seal_as_a_lease_of_this_run_admits_nothing(payload):
    assert judged(payload) == Reason.FOREIGN_LEASE


def test_a_lease_admits_late_work_for_a_week():
    payload = admitted(SUBMISSION, VOLUNTEER)
    assert isinstance(judged(payload, now=LEASE.expires_at + LEASE_GRACE_S), Accepted)
    assert judged(payload, now=LEASE.expires_at + LEASE_GRACE_S + 1) == Reason.LEASE_OVER
