import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import (
    COORDINATOR,
    HEARTBEAT,
    LIFE_S,
    NOW,
    RUN_ID,
    STRANGER,
    TASK,
    VOLUNTEER,
    WANT,
    body_of,
    sealed,
    signed_bytes,
)

from paris.protocol.canonical import canonical_bytes
from paris.protocol.envelope import open_envelope
from paris.protocol.errors import ExpiredError, RecordError, SignatureError, VersionError
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.run_records import SubmittedFile
from paris.protocol.runid import make_run_id
from paris.protocol.work_records import Heartbeat, Submission


def opened(data, *, now=NOW + 1, run_id=RUN_ID, coordinator=COORDINATOR.public_key):
    return open_envelope(data, run_id=run_id, coordinator=coordinator, now=now)


heartbeats = st.builds(
    Heartbeat,
    lease_id=st.just(HEARTBEAT.lease_id),
    task_id=st.sampled_from(["expert-0", "expert-255", "router"]),
    attempt=st.integers(1, 10**6),
    state=st.sampled_from(["fetching", "training", "paused", "uploading", "waiting-verdict", "failed"]),
    step=st.integers(0, 10**9),
    loss=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    steps_per_s=st.floats(0, 10**9),
    commitment=st.none() | st.just("ab" * 32),
    commitment_step=st.integers(0, 10**9),
)


@given(heartbeats, st.integers(0, 2**53 - 1), st.floats(0, 1000))
def test_what_was_sealed_is_opened_the_same(heartbeat, sequence, age_s):
    envelope = sealed(heartbeat, VOLUNTEER, sequence=sequence, issued_at=NOW - age_s, life_s=2000.0)
    assert opened(envelope.data, now=NOW) == envelope


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_typed_errors(data):
    with pytest.raises((RecordError, VersionError, SignatureError, ExpiredError)):
        opened(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_never_opens(position, byte):
    data = bytearray(sealed(TASK).data)
    position %= len(data)
    if data[position] == byte:
        byte = (byte + 1) % 256
    data[position] = byte
    with pytest.raises((RecordError, VersionError, SignatureError, ExpiredError)):
        opened(bytes(data))


def test_fields_may_stand_in_no_other_order_and_with_no_white_space():
    data = sealed(TASK).data
    for other in (json.dumps(json.loads(data)).encode(), json.dumps(dict(reversed(json.loads(data).items()))).encode()):
        with pytest.raises(RecordError, match="canonical"):
            opened(other)


def test_nothing_may_follow_a_record():
    with pytest.raises(RecordError, match="Extra data"):
        opened(sealed(TASK).data + b"{}")


def test_a_repeated_key_is_refused():
    data = sealed(TASK).data.replace(b'{"expires_at":', b'{"kind":"task","expires_at":', 1)
    with pytest.raises(RecordError, match="repeated"):
        opened(data)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**53}, "sequence"),
        ({"sequence": 1.5}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": 1e12}, "expires_at"),
        ({"issued_at": -1.0}, "issued_at"),
        ({"signer": "AB" * 32}, "signer"),
        ({"kind": "gift"}, "kind 'gift'"),
        ({"kind": 5}, "kind"),
        ({"payload": []}, "payload"),
        ({"version": "1"}, "version"),
    ],
)
def test_an_envelope_field_that_is_wrong_is_named(changes, field):
    data = signed_bytes(body_of(sealed(TASK), **changes), COORDINATOR)
    with pytest.raises(RecordError, match=field):
        opened(data)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"steps": 0}, "steps"),
        ({"steps": "10"}, "steps"),
        ({"task_id": "../expert-0"}, "task_id"),
        ({"state": "gone"}, "state"),
        ({"cluster": 1024}, "cluster"),
        ({"deadline_s": -1.0}, "deadline_s"),
    ],
)
def test_a_payload_field_that_is_wrong_is_named(changes, field):
    payload = TASK.model_dump(mode="json") | changes
    with pytest.raises(RecordError, match=f"Not a task record: {field}"):
        opened(signed_bytes(body_of(sealed(TASK), payload=payload), COORDINATOR))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up", "a/../b", "a//b", "", ".hidden", "a/.b", "a b", "a\\b", "C:x", "a/b\n", "-rf"]
)
def test_a_path_that_could_leave_its_folder_is_refused(path):
    with pytest.raises(ValueError, match="path"):
        SubmittedFile(path=path, sha256="0" * 64, bytes=1)


def test_a_submission_without_files_is_refused():
    payload = {name: getattr(HEARTBEAT, name) for name in ("lease_id", "task_id", "attempt")}
    rest = {"name": "x", "repo": "a/b", "pull_request": 1, "commit": "0" * 40, "steps": 1, "final_loss": 0.1}
    with pytest.raises(ValueError, match="files"):
        Submission(**payload, **rest, files=(), commitment="0" * 64)


@pytest.mark.parametrize(
    ("field", "largest", "too_large"),
    [
        ("kind", "x" * 16, "x" * 17),
        ("version", 10**6, 10**6 + 1),
        ("run_id", "r" * 80, "r" * 81),
        ("issued_at", 1e11, 1e11 + 1),
        ("expires_at", 1e11, 1e11 + 1),
        ("sequence", 2**53 - 1, 2**53),
    ],
)
def test_each_envelope_field_has_its_bound(field, largest, too_large):
    def refusal(value) -> str:
        data = signed_bytes(body_of(sealed(TASK), **{field: value}), COORDINATOR)
        with pytest.raises((RecordError, VersionError, ExpiredError)) as caught:
            opened(data)
        return str(caught.value)

    if field != "version":
        assert f"Not an envelope: {field}" in refusal(too_large)
    if field != "sequence":
        assert "Not an envelope" not in refusal(largest)
    else:
        assert opened(sealed(TASK, sequence=largest).data).sequence == largest


@pytest.mark.parametrize("field", ["issued_at", "expires_at", "sequence"])
def test_zero_is_a_time_and_a_sequence(field):
    data = signed_bytes(body_of(sealed(TASK), **{field: 0 if field == "sequence" else 0.0}), COORDINATOR)
    assert opened(data, now=None).sequence in (0, 1)


def test_a_record_of_exactly_its_kinds_size_is_sealed_and_opened():
    limit = RECORD_RULES["task"].max_bytes
    room = limit - len(sealed(TASK).data)
    with pytest.raises(RecordError, match=f"would have {limit + 1} bytes"):
        sealed(TASK, run_id=RUN_ID + "x" * (room + 1))
    run_id = RUN_ID + "x" * room
    assert len(sealed(TASK, run_id=run_id).data) == limit


def test_the_moments_at_which_a_record_begins_and_ends_to_hold():
    def error(now: float, **times) -> str:
        try:
            opened(sealed(TASK, **times).data, now=now)
        except ExpiredError as caught:
            return str(caught)
        return ""

    skew_s, life_s = MAX_CLOCK_SKEW_S, RECORD_RULES["task"].max_life_s
    assert error(NOW + LIFE_S - 1) == ""
    assert "expired 0 s ago" in error(NOW + LIFE_S)
    assert error(NOW - skew_s) == ""
    assert "in the future" in error(NOW - skew_s - 0.001)
    assert error(NOW, life_s=life_s + skew_s) == ""
    assert "a life of more than" in error(NOW, life_s=life_s + skew_s + 0.001)


def test_a_record_of_another_run_is_refused():
    other = make_run_id("other", COORDINATOR.public_key)
    with pytest.raises(RecordError, match="other"):
        opened(sealed(TASK, run_id=other).data)


def test_a_stranger_cannot_sign_for_the_coordinator():
    with pytest.raises(SignatureError, match="not the key of run"):
        opened(sealed(TASK, STRANGER).data)


def test_without_a_pinned_key_the_run_id_itself_tells_who_may_sign():
    assert opened(sealed(TASK).data, coordinator=None).payload == TASK
    with pytest.raises(SignatureError):
        opened(sealed(TASK, STRANGER).data, coordinator=None)


def test_a_record_that_names_another_signer_is_refused():
    data = signed_bytes(body_of(sealed(WANT), signer=STRANGER.public_key), VOLUNTEER)
    with pytest.raises(SignatureError, match="is invalid"):
        opened(data)


def test_a_signature_made_for_another_purpose_does_not_hold():
    body = body_of(sealed(WANT))
    data = canonical_bytes({**body, "signature": VOLUNTEER.sign(canonical_bytes(body))})
    with pytest.raises(SignatureError):
        opened(data)


def test_an_expired_record_is_refused_and_an_archive_may_still_read_it():
    data = sealed(TASK).data
    with pytest.raises(ExpiredError, match="expired 5 s ago"):
        opened(data, now=NOW + LIFE_S + 5)
    assert opened(data, now=None).payload == TASK


def test_a_record_from_the_future_says_that_the_clock_is_wrong():
    with pytest.raises(ExpiredError) as caught:
        opened(sealed(TASK).data, now=NOW - 3.5)
    assert "3.5 s in the future" in caught.value.what
    assert "clock" in caught.value.next_step
    assert opened(sealed(TASK).data, now=NOW - 2.5).payload == TASK


@pytest.mark.parametrize("kind", RECORD_RULES)
def test_every_kind_has_a_longest_life(kind):
    from protocol_samples import SAMPLES

    payload, identity = SAMPLES[kind]
    longest_s = RECORD_RULES[kind].max_life_s
    assert opened(sealed(payload, identity, life_s=longest_s).data).payload == payload
    with pytest.raises(ExpiredError, match="life of more than"):
        opened(sealed(payload, identity, life_s=longest_s + 4).data)


def test_a_record_that_would_be_too_large_is_not_even_sealed():
    large = WANT.model_copy(update={"name": "x" * 3000})
    with pytest.raises(RecordError, match="at most 2048"):
        sealed(large)


def test_a_large_record_is_refused_before_its_signature_is_checked():
    body = body_of(sealed(WANT), payload={"x": "y" * 2500})
    with pytest.raises(RecordError, match="at most 2048"):
        opened(canonical_bytes({**body, "signature": "0" * 128}))
