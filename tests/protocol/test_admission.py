"""Which leases admit a record, at the judge of a peer."""

import pytest
from protocol_samples import (
    ANSWER,
    COORDINATOR,
    HEARTBEAT,
    INVITE,
    INVITE_SEED,
    LEASE,
    NOW,
    RUN,
    RUN_ID,
    STRANGER,
    SUBMISSION,
    TASK,
    VOLUNTEER,
    WANT,
    admitted,
    sealed,
)

from paris.protocol import admission as admission_module
from paris.protocol.admission import LEASE_GRACE_S, Admission
from paris.protocol.invites import HeldInvite
from paris.protocol.keys import dht_key, part_of, subkey_of
from paris.protocol.refusals import Reason
from paris.protocol.runid import make_run_id
from paris.protocol.validator import Accepted, RecordJudge
from paris.protocol.want_work import do_work, work_bits

BITS = 8
ASKING = RUN.model_copy(update={"want_work_bits": BITS, "num_buckets": 1})
WORK = do_work(RUN_ID, VOLUNTEER.public_key, BITS)


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


def judge_of(*payloads):
    """A judge that has seen these records of the coordinator."""
    judge = RecordJudge(RUN_ID, COORDINATOR.public_key, lambda: NOW + 1)
    for payload in payloads:
        assert isinstance(put(judge, payload, COORDINATOR), Accepted)
    return judge


def put(judge, payload, identity, sequence=1):
    envelope = sealed(payload, identity, sequence=sequence, life_s=600.0 + sequence)
    key = dht_key(RUN_ID, envelope.kind, part_of(payload, envelope.signer, 1))
    return judge.judge(key, subkey_of(payload, envelope.signer), envelope.data, envelope.expires_at)


def want_of(identity, work):
    return WANT.model_copy(update={"work": work}), identity


def test_a_want_needs_the_work_that_the_run_asks_for_by_its_own_key_and_for_this_run():
    judge = judge_of(ASKING)
    assert put(judge, *want_of(VOLUNTEER, None)).reason == Reason.NO_WORK
    assert isinstance(put(judge, *want_of(VOLUNTEER, WORK)), Accepted)
    elsewhere = next(
        work
        for run_id in (make_run_id(f"other-{i}", COORDINATOR.public_key) for i in range(9))
        if work_bits(RUN_ID, STRANGER.public_key, work := do_work(run_id, STRANGER.public_key, BITS)) < BITS
    )
    assert put(judge, *want_of(STRANGER, elsewhere)).reason == Reason.NO_WORK
    assert put(judge, *want_of(STRANGER, WORK)).reason == Reason.NO_WORK, "another's work"


def test_a_run_that_asks_for_none_takes_wants_without_work():
    assert isinstance(put(judge_of(RUN.model_copy(update={"num_buckets": 1})), *want_of(VOLUNTEER, None)), Accepted)


def test_leaseholders_rank_before_work_and_work_before_nothing():
    judge = judge_of(RUN.model_copy(update={"num_buckets": 1}), LEASE.model_copy(update={"volunteer": "ab" * 32}))
    put(judge, *want_of(VOLUNTEER, WORK))
    put(judge, *want_of(STRANGER, None))
    nothing, work, lease = (judge.rank(key) for key in (STRANGER.public_key, VOLUNTEER.public_key, "ab" * 32))
    assert nothing < BITS <= work < lease
    assert judge.rank("expert-0.1") == 0
    put(judge, admitted(HEARTBEAT, VOLUNTEER), VOLUNTEER)
    put(judge, *want_of(VOLUNTEER, WORK), sequence=2)
    assert judge.rank(f"{VOLUNTEER.public_key}.{HEARTBEAT.lease_id}") == lease, "a later want does not undo the lease"


def test_work_ends_when_the_search_is_ended():
    rounds = []

    def on_round(num_tries):
        rounds.append(num_tries)
        if len(rounds) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        do_work(RUN_ID, VOLUNTEER.public_key, 200, on_round)
    assert rounds[1] > rounds[0] == 0


def test_an_invite_of_the_run_stands_in_for_work_and_no_other_does():
    judge = judge_of(ASKING)

    def shown(payload, signer=COORDINATOR, seed=INVITE_SEED, volunteer=VOLUNTEER, **times):
        held = HeldInvite(sealed(payload, signer, **times), seed)
        proof = held.proof_for(VOLUNTEER.public_key)
        want = WANT.model_copy(update={"invite": held.envelope.data.decode(), "invite_proof": proof})
        verdict = put(judge, want, volunteer)
        return getattr(verdict, "reason", verdict)

    assert shown(INVITE, STRANGER) == Reason.BAD_INVITE
    assert shown(INVITE, run_id=make_run_id("other", COORDINATOR.public_key)) == Reason.BAD_INVITE
    assert shown(INVITE, life_s=0.5) == Reason.BAD_INVITE, "it is over"
    assert shown(LEASE) == Reason.BAD_INVITE
    assert shown(INVITE, volunteer=STRANGER) == Reason.BAD_INVITE, "it was copied out of another's want"
    assert shown(INVITE, seed=bytes(32)) == Reason.BAD_INVITE, "without the private key it cannot be shown"
    bare = WANT.model_copy(update={"invite": sealed(INVITE).data.decode()})
    assert put(judge, bare, VOLUNTEER).reason == Reason.BAD_INVITE, "nor without a proof"
    assert isinstance(shown(INVITE), Accepted)
    assert BITS < judge.rank(VOLUNTEER.public_key) < 256


def test_what_a_key_has_proven_holds_to_the_end_of_its_time_and_no_longer():
    admission = Admission(RUN_ID, COORDINATOR.public_key)
    admission.note(sealed(LEASE), NOW)
    end = LEASE.expires_at + LEASE_GRACE_S
    assert admission.rank(LEASE.volunteer, end) > 100 > 0 == admission.rank(LEASE.volunteer, end + 1)
    assert admission.rank(STRANGER.public_key, NOW) == 0


def test_of_too_many_keys_those_that_proved_least_lately_are_forgotten():
    admission = Admission(RUN_ID, COORDINATOR.public_key)
    first, second, *others = [f"{number:064x}" for number in range(65_537)]
    for key in (first, second, first):
        admission.note(sealed(LEASE.model_copy(update={"volunteer": key})), NOW)
    for key in others:
        admission._prove(key, 1, NOW + 60)
    assert admission.rank(second, NOW) == 0
    assert admission.rank(first, NOW) > 0
    assert admission.rank(others[-1], NOW) == 1


def test_a_lease_is_opened_once_and_of_too_many_the_least_recently_shown_is_forgotten(monkeypatch):
    monkeypatch.setattr(admission_module, "_MEMORY", 2)
    admission = Admission(RUN_ID, COORDINATOR.public_key)
    first, second, third = (sealed(LEASE, sequence=number).data.decode() for number in (1, 2, 3))
    opened = {text: admission._open(text) for text in (first, second)}
    assert admission._open(first) is opened[first]
    admission._open(third)
    assert admission._open(first) is opened[first]
    assert admission._open(second) is not opened[second]


@pytest.mark.parametrize("bits", [BITS, BITS + 1])
def test_work_of_just_the_bits_that_are_asked_for_is_enough(bits):
    has = work_bits(RUN_ID, VOLUNTEER.public_key, WORK)
    judge = judge_of(ASKING.model_copy(update={"want_work_bits": has if bits == BITS else has + 1}))
    assert isinstance(put(judge, *want_of(VOLUNTEER, WORK)), Accepted) is (bits == BITS)


def test_a_want_proves_its_bits_for_its_own_life_and_without_work_nothing():
    admission, want = Admission(RUN_ID, COORDINATOR.public_key), sealed(want_of(VOLUNTEER, WORK)[0], VOLUNTEER)
    admission.note(want, NOW)
    has = work_bits(RUN_ID, VOLUNTEER.public_key, WORK)
    assert [admission.rank(VOLUNTEER.public_key, at) for at in (want.expires_at, want.expires_at + 1)] == [has, 0]
    admission.note(sealed(WANT, VOLUNTEER), NOW)
    assert admission.rank(VOLUNTEER.public_key, NOW) == 0
