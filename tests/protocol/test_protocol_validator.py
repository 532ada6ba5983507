import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import (
    COORDINATOR,
    HOLDING,
    LEASE,
    LIFE_S,
    MANIFEST,
    NOW,
    RUN,
    RUN_ID,
    SAMPLES,
    STRANGER,
    TASK,
    VOLUNTEER,
    WANT,
    body_of,
    fixed_identity,
    golden_bytes,
    sealed,
    signed_bytes,
)

from paris.protocol.keys import OWN, OWN_KINDS, all_keys, bucket_of, dht_key, own_subkey, part_of, subkey_of
from paris.protocol.limits import MAX_NUM_BUCKETS, MAX_SUBKEY_CHARS
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.refusals import Reason, Refusal, Refused
from paris.protocol.validator import Accepted, RecordJudge

CAREFUL = RecordJudge(RUN_ID, COORDINATOR.public_key, lambda: NOW + 1)
TASKS_KEY = dht_key(RUN_ID, "task")


class Clock:
    def __init__(self, now=NOW + 1):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def judge(clock):
    return RecordJudge(RUN_ID, COORDINATOR.public_key, clock)


def placed(envelope, num_buckets=4):
    part = part_of(envelope.payload, envelope.signer, num_buckets)
    return (
        dht_key(RUN_ID, envelope.kind, part),
        subkey_of(envelope.payload, envelope.signer),
        envelope.data,
        envelope.expires_at,
    )


def refused(judge, *args):
    verdict = judge.judge(*args)
    assert isinstance(verdict, Refused), verdict
    assert verdict.detail
    return verdict.reason


@pytest.mark.parametrize("kind", sorted(SAMPLES.keys() - {"invite"}))
def test_every_kind_is_accepted_in_its_place(judge, kind):
    envelope = sealed(*SAMPLES[kind])
    verdict = judge.judge(*placed(envelope))
    assert verdict == Accepted(envelope)
    assert judge.refusals == {}


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_what_is_for_a_volunteer_is_accepted_under_its_key_too(judge, kind):
    envelope = sealed(*SAMPLES[kind])
    subkey = own_subkey(envelope.payload)
    assert len(subkey) <= MAX_SUBKEY_CHARS
    for key, name in ((own_key(VOLUNTEER), subkey), placed(envelope)[:2]):
        assert judge.judge(key, name, envelope.data, envelope.expires_at) == Accepted(envelope)


def own_key(identity):
    return dht_key(RUN_ID, OWN, identity.public_key)


def test_under_a_volunteers_key_is_nothing_else(judge):
    lease, task = sealed(LEASE), sealed(TASK)
    own, me, other = own_subkey(LEASE), VOLUNTEER.public_key, STRANGER.public_key
    forged = sealed(LEASE, STRANGER)
    cases = [
        (own_key(STRANGER), own, lease, Reason.UNKNOWN_KEY),
        (own_key(STRANGER), own.replace(me, other), lease, Reason.WRONG_SUBKEY),
        (own_key(VOLUNTEER), own + "0", lease, Reason.WRONG_SUBKEY),
        (own_key(VOLUNTEER), own.replace("lease.", "verdict."), lease, Reason.WRONG_KIND),
        (own_key(VOLUNTEER), own.replace("lease.", "task."), task, Reason.UNKNOWN_KEY),
        (own_key(VOLUNTEER), own, task, Reason.WRONG_KIND),
        (own_key(VOLUNTEER), own, forged, Reason.BAD_SIGNATURE),
        (own_key(VOLUNTEER), f"lease.{me}.{'x' * 200}", lease, Reason.WRONG_SUBKEY),
        (own_key(VOLUNTEER), None, lease, Reason.UNKNOWN_KEY),
        (own_key(VOLUNTEER), subkey_of(LEASE, ""), lease, Reason.UNKNOWN_KEY),
        (dht_key(RUN_ID, "lease"), own, lease, Reason.WRONG_SUBKEY),
    ]
    for key, subkey, envelope, reason in cases:
        assert refused(judge, key, subkey, envelope.data, envelope.expires_at) == reason, (key, subkey)


@pytest.mark.parametrize("key", [None, "paris_v1_other-0000000000000000_tasks", "tasks", TASKS_KEY + "_0", ""])
def test_a_key_outside_the_run_is_refused(judge, key):
    assert refused(judge, key, *placed(sealed(TASK))[1:]) == Reason.UNKNOWN_KEY


def test_an_invite_has_no_place(judge):
    assert refused(judge, *placed(sealed(*SAMPLES["invite"]))) == Reason.UNKNOWN_KEY


def test_a_plain_value_cannot_wipe_a_dictionary(judge):
    assert refused(judge, TASKS_KEY, None, *placed(sealed(TASK))[2:]) == Reason.PLAIN_VALUE


@pytest.mark.parametrize("subkey", [b"expert-0", 5, ["expert-0"], "expert-1", "", "x" * 200])
def test_a_foreign_subkey_is_refused(judge, subkey):
    assert refused(judge, TASKS_KEY, subkey, *placed(sealed(TASK))[2:]) == Reason.WRONG_SUBKEY


def test_a_volunteer_cannot_write_into_anothers_subkey(judge):
    key, _, data, expires_at = placed(sealed(WANT, STRANGER), num_buckets=1)
    assert refused(judge, key, VOLUNTEER.public_key, data, expires_at) == Reason.WRONG_SUBKEY


def test_a_record_under_the_key_of_another_kind_is_refused(judge):
    assert refused(judge, TASKS_KEY, *placed(sealed(LEASE))[1:]) == Reason.WRONG_KIND


@pytest.mark.parametrize("payload", [MANIFEST, HOLDING])
def test_a_record_of_a_cluster_under_another_cluster_is_refused(judge, payload):
    key = dht_key(RUN_ID, payload.kind, 1)
    assert refused(judge, key, *placed(sealed(payload))[1:]) == Reason.WRONG_PART


@pytest.mark.parametrize(
    "address", ["/dns4/victim.example/tcp/22/p2p/", "/ip4/127.0.0.1/udp/1/p2p/", "/unix/tmp/x/p2p/"]
)
def test_a_holding_names_addresses_in_numbers_alone(address):
    with pytest.raises(ValueError, match="addresses"):
        HOLDING.model_validate({**HOLDING.model_dump(), "addresses": (address + "12D3KooW" + "a" * 44,)})


def test_the_bucket_must_be_the_signers_own_once_their_number_is_known(judge):
    judge.judge(*placed(sealed(RUN)))
    assert judge.spec.num_buckets == 4
    own = bucket_of(VOLUNTEER.public_key, 4)
    for bucket in range(4):
        key = dht_key(RUN_ID, "want", bucket)
        verdict = judge.judge(key, *placed(sealed(WANT))[1:])
        assert isinstance(verdict, Accepted) == (bucket == own)
    assert judge.refusals == {"wrong-bucket": 3}


def test_before_the_number_of_buckets_is_known_any_bucket_of_the_signer_may_be_right(judge):
    possible = {bucket_of(VOLUNTEER.public_key, count) for count in range(1, MAX_NUM_BUCKETS + 1)}
    for bucket in range(MAX_NUM_BUCKETS):
        verdict = judge.judge(dht_key(RUN_ID, "want", bucket), *placed(sealed(WANT))[1:])
        assert isinstance(verdict, Accepted) == (bucket in possible)


def test_a_forged_coordinator_record_is_refused(judge):
    assert refused(judge, *placed(sealed(TASK, STRANGER))) == Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", b"null", b"[1]", "text", 5, None, {}, b"\xff", sealed(TASK).data + b" ", sealed(TASK).data[:-1]],
)
def test_what_is_not_a_record_is_malformed(judge, value):
    assert refused(judge, TASKS_KEY, "expert-0", value, NOW + LIFE_S) == Reason.MALFORMED


def test_an_unknown_field_is_malformed(judge):
    data = signed_bytes(body_of(sealed(TASK), surprise=1), COORDINATOR)
    assert refused(judge, TASKS_KEY, "expert-0", data, NOW + LIFE_S) == Reason.MALFORMED


def test_a_value_over_the_kinds_bound_is_not_even_parsed(judge):
    assert refused(judge, TASKS_KEY, "expert-0", b"x" * 4097, NOW + LIFE_S) == Reason.OVERSIZED


@pytest.mark.parametrize("name", ["older-version", "newer-version"])
def test_another_version_is_refused(judge, name):
    assert refused(judge, TASKS_KEY, "expert-0", golden_bytes(name), NOW + LIFE_S) == Reason.WRONG_VERSION


def test_an_expired_record_is_refused_also_when_it_was_known(judge, clock):
    record = placed(sealed(TASK))
    assert isinstance(judge.judge(*record), Accepted)
    clock.now = NOW + LIFE_S
    assert refused(judge, *record) == Reason.EXPIRED


def test_a_record_that_would_live_for_ever_is_refused(judge):
    for life_s in (86400 + 4, 10**9):
        assert refused(judge, *placed(sealed(TASK, life_s=life_s))) == Reason.EXPIRED


@pytest.mark.parametrize("expires_at", [NOW + LIFE_S + 1, NOW + LIFE_S - 1, math.inf, math.nan, -math.inf])
def test_the_expiry_in_the_dht_is_the_signed_one(judge, expires_at):
    record = placed(sealed(TASK))[:3]
    assert refused(judge, *record, expires_at) == Reason.EXPIRY_MISMATCH
    judge.judge(*record, NOW + LIFE_S)
    assert refused(judge, *record, expires_at) == Reason.EXPIRY_MISMATCH


def test_an_older_record_is_refused_after_a_newer_one_and_the_same_one_is_fine(judge):
    old, new = sealed(TASK, sequence=1), sealed(TASK, sequence=2, life_s=LIFE_S + 1)
    assert isinstance(judge.judge(*placed(old)), Accepted)
    assert isinstance(judge.judge(*placed(new)), Accepted)
    assert isinstance(judge.judge(*placed(new)), Accepted)
    assert refused(judge, *placed(old)) == Reason.STALE_SEQUENCE


def test_one_sequence_number_is_used_for_one_record_only(judge):
    judge.judge(*placed(sealed(TASK)))
    other = sealed(TASK.model_copy(update={"state": "leased"}), life_s=LIFE_S + 1)
    assert refused(judge, *placed(other)) == Reason.STALE_SEQUENCE


def test_a_newer_record_must_also_expire_later(judge):
    judge.judge(*placed(sealed(TASK)))
    assert refused(judge, *placed(sealed(TASK, sequence=2))) == Reason.EXPIRY_NOT_LATER
    assert isinstance(judge.judge(*placed(sealed(TASK, sequence=2, life_s=LIFE_S + 1))), Accepted)


def test_a_refused_record_leaves_no_trace(judge):
    forged = sealed(TASK, STRANGER, sequence=99, life_s=LIFE_S + 99)
    refused(judge, *placed(forged))
    assert isinstance(judge.judge(*placed(sealed(TASK))), Accepted)


def test_after_its_expiry_a_record_is_forgotten(judge, clock):
    judge.judge(*placed(sealed(TASK, sequence=9)))
    clock.now = NOW + LIFE_S + 1
    again = sealed(TASK, sequence=1, issued_at=clock.now)
    assert isinstance(judge.judge(*placed(again)), Accepted)


def test_the_memory_is_bounded_and_forgets_the_least_recently_judged(clock):
    judge = RecordJudge(RUN_ID, None, clock, memory=2)

    def lease(attempt, sequence):
        record = LEASE.model_copy(update={"attempt": attempt})
        return placed(sealed(record, sequence=sequence, life_s=LIFE_S + sequence))

    for attempt in (1, 2):
        judge.judge(*lease(attempt, 5))
    judge.judge(*lease(1, 6))
    judge.judge(*lease(3, 5))
    assert refused(judge, *lease(1, 4)) == Reason.STALE_SEQUENCE
    assert isinstance(judge.judge(*lease(2, 4)), Accepted)


def test_refusals_are_counted_by_reason(judge):
    for _ in range(3):
        judge.judge(None, None, None, 0.0)
    judge.judge(*placed(sealed(TASK, STRANGER)))
    assert judge.refusals == {"unknown-key": 3, "bad-signature": 1}


def test_without_a_pinned_key_the_run_id_tells_whom_to_believe(clock):
    judge = RecordJudge(RUN_ID, None, clock)
    assert isinstance(judge.judge(*placed(sealed(TASK))), Accepted)
    assert refused(judge, *placed(sealed(TASK, STRANGER))) == Reason.BAD_SIGNATURE


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.just(sealed),
)
keys = st.none() | st.text() | st.sampled_from(sorted(all_keys(RUN_ID)))
record_bytes = st.sampled_from([sealed(*sample).data for sample in SAMPLES.values()])


@given(keys, anything, anything | record_bytes, st.floats())
def test_it_never_raises_and_accepts_nothing_by_chance(key, subkey, value, expires_at):
    verdict = CAREFUL.judge(key, subkey, value, expires_at)
    assert isinstance(verdict, Refused)
    assert verdict.reason in Reason


@given(record_bytes, st.integers(0, 5000), st.binary(max_size=8))
def test_it_never_raises_on_a_damaged_record(data, position, patch):
    judge = RecordJudge(RUN_ID, COORDINATOR.public_key, lambda: NOW + 1)
    damaged = data[:position] + patch + data[position + len(patch) :]
    verdict = judge.judge(TASKS_KEY, "expert-0", damaged, NOW + LIFE_S)
    assert isinstance(verdict, Accepted) == (damaged == sealed(TASK).data)


@given(st.permutations(range(6)))
def test_whatever_the_order_of_arrival_the_newest_record_stays_the_known_one(order):
    judge = RecordJudge(RUN_ID, COORDINATOR.public_key, lambda: NOW + 1)
    beat, newest = SAMPLES["heartbeat"][0], -1
    for sequence in order:
        verdict = judge.judge(*placed(sealed(beat, sequence=sequence, life_s=LIFE_S + sequence)))
        assert isinstance(verdict, Accepted) == (sequence > newest)
        newest = max(newest, sequence)


def test_the_codes_of_refusals_are_those_of_the_document():
    assert sorted(Reason) == [
        "bad-invite",
        "bad-signature",
        "expired",
        "expiry-mismatch",
        "expiry-not-later",
        "foreign-lease",
        "lease-over",
        "malformed",
        "no-lease",
        "no-work",
        "oversized",
        "plain-value",
        "stale-sequence",
        "unknown-key",
        "wrong-bucket",
        "wrong-kind",
        "wrong-part",
        "wrong-subkey",
        "wrong-version",
    ]


def test_a_subkey_and_a_value_of_just_the_largest_length_are_looked_at(judge):
    assert refused(judge, TASKS_KEY, "x" * (MAX_SUBKEY_CHARS + 1), b"{}", NOW) == Reason.WRONG_SUBKEY
    assert refused(judge, TASKS_KEY, "x" * MAX_SUBKEY_CHARS, b"{}", NOW) == Reason.MALFORMED
    largest = RECORD_RULES["task"].max_bytes
    assert refused(judge, TASKS_KEY, "expert-0", b"x" * (largest + 1), NOW) == Reason.OVERSIZED
    assert refused(judge, TASKS_KEY, "expert-0", b"x" * largest, NOW) == Reason.MALFORMED


def test_the_number_of_buckets_is_that_of_the_newest_run_record(judge):
    assert judge.spec is None
    judge.judge(*placed(sealed(RUN)))
    assert judge.spec.num_buckets == RUN.num_buckets
    newer = RUN.model_copy(update={"num_buckets": 2})
    judge.judge(*placed(sealed(newer, sequence=2, life_s=LIFE_S + 1)))
    assert judge.spec.num_buckets == 2


def test_before_the_run_record_any_number_of_buckets_up_to_the_largest_is_possible(clock):
    """Of the buckets of one volunteer under each number, all are open, and no other."""
    possible = {bucket_of(VOLUNTEER.public_key, count) for count in range(1, MAX_NUM_BUCKETS + 1)}
    for bucket in range(MAX_NUM_BUCKETS):
        judge = RecordJudge(RUN_ID, COORDINATOR.public_key, clock)
        envelope = sealed(WANT)
        verdict = judge.judge(dht_key(RUN_ID, "want", bucket), envelope.signer, envelope.data, envelope.expires_at)
        assert isinstance(verdict, Accepted) == (bucket in possible)


def test_a_refusal_says_its_detail_and_holds_both():
    refusal = Refusal(Reason.NO_WORK, "no bits")
    assert str(refusal) == "no bits"
    assert refusal.refused == Refused(Reason.NO_WORK, "no bits")


def test_a_run_of_one_bucket_is_possible_before_the_run_record(clock):
    """Of a volunteer whose bucket is 0 under no other number."""
    identities = (fixed_identity(f"volunteer {number}") for number in range(999))
    rare = next(
        identity
        for identity in identities
        if all(bucket_of(identity.public_key, count) for count in range(2, MAX_NUM_BUCKETS + 1))
    )
    judge = RecordJudge(RUN_ID, COORDINATOR.public_key, clock)
    assert isinstance(judge.judge(*placed(sealed(WANT, rare), num_buckets=1)), Accepted)
