"""Shard requests on the wire."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import NOW, RUN_ID, STRANGER, VOLUNTEER, hex_of

from paris.protocol.canonical import canonical_bytes
from paris.protocol.errors import ExpiredError, ParisError, RecordError, SignatureError, VersionError
from paris.protocol.shard_request import MAX_REQUEST_BYTES, Reply, ShardStatus, open_request, seal_request

SHARD = hex_of("shard")
ME = "12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T"


def sealed(identity=VOLUNTEER, *, sha256=SHARD, offset=0, to=ME, at=NOW):
    return seal_request(identity, run_id=RUN_ID, to=to, sha256=sha256, offset=offset, at=at)


def opened(data, *, run_id=RUN_ID, me=ME, now=NOW + 1):
    return open_request(data, run_id=run_id, peer_id=me, now=now)


def changed(**fields):
    return canonical_bytes({**json.loads(sealed()), **fields})


def test_a_request_opens_to_its_fields():
    request = opened(sealed(offset=70_000))
    assert (request.sha256, request.offset, request.signer) == (SHARD, 70_000, VOLUNTEER.public_key)


def test_a_request_is_canonical_and_short():
    assert len(sealed()) <= MAX_REQUEST_BYTES
    assert sealed() == canonical_bytes(json.loads(sealed()))
    assert set(json.loads(sealed())) == {"version", "run_id", "to", "sha256", "offset", "at", "signer", "signature"}


@pytest.mark.parametrize("field", ["sha256", "offset", "at", "signer"])
def test_no_field_of_a_request_can_be_changed(field):
    other = json.loads(sealed(STRANGER, sha256=hex_of("other"), offset=1, at=NOW + 2))
    with pytest.raises(SignatureError):
        opened(changed(**{field: other[field]}))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (sealed(to="somebody else"), RecordError),
        (sealed(at=NOW - 60), ExpiredError),
        (sealed(at=NOW + 60), ExpiredError),
        (changed(version=2), VersionError),
        (changed(extra=1), RecordError),
        (changed(sha256="../../etc/passwd"), RecordError),
        (changed(offset=-1), RecordError),
        (b"{}" + b" " * MAX_REQUEST_BYTES, RecordError),
        (b"[]", RecordError),
    ],
)
def test_an_invalid_request_is_refused_with_its_reason(data, error):
    with pytest.raises(error):
        opened(data)


def test_a_question_about_another_run_is_refused():
    with pytest.raises(RecordError, match=RUN_ID):
        opened(sealed(), run_id="other-0123456789abcdef")


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_but_a_refusal(data):
    with pytest.raises(ParisError):
        opened(data)


def test_a_request_is_the_bytes_that_every_version_signs():
    request = sealed()
    body = {name: value for name, value in json.loads(request).items() if name != "signature"}
    signature = VOLUNTEER.sign(b"paris-shard-request-v1\n" + canonical_bytes(body))
    assert request == canonical_bytes({**body, "signature": signature})


def test_each_status_keeps_its_byte_on_the_wire():
    numbers = {"AVAILABLE": 0, "FETCHING": 1, "WANTED": 2, "ABSENT": 3, "BUSY": 4, "REFUSED": 5}
    assert {status.name: status.value for status in ShardStatus} == numbers
    assert Reply(ShardStatus.BUSY) == Reply(ShardStatus.BUSY, None, 0, 0, "")


@pytest.mark.parametrize(
    ("at", "is_now"), [(NOW - 30, True), (NOW - 30.1, False), (NOW + 30, True), (NOW + 30.1, False)]
)
def test_a_request_is_of_now_for_thirty_seconds(at, is_now):
    if is_now:
        assert opened(sealed(at=at), now=NOW).at == at
    else:
        with pytest.raises(ExpiredError):
            opened(sealed(at=at), now=NOW)


@pytest.mark.parametrize("field", ["run_id", "to"])
def test_names_in_a_request_have_a_largest_length(field):
    for length, says in ((80, "for|to|put"), (81, "at most 80")):
        with pytest.raises(RecordError, match=says):
            opened(changed(**{field: "x" * length}))


def test_a_request_of_exactly_the_largest_length_is_parsed():
    padded = sealed() + b" " * (MAX_REQUEST_BYTES - len(sealed()))
    assert MAX_REQUEST_BYTES == 1024
    assert opened(padded).sha256 == SHARD
    with pytest.raises(RecordError, match="at most 1024"):
        opened(padded + b" ")
