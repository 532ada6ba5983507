import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paris.protocol.canonical import canonical_bytes, digest, parse_json
from paris.protocol.errors import RecordError

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_was_written_is_read_back_the_same(value):
    assert parse_json(canonical_bytes(value), max_bytes=10**6) == value


@given(values)
def test_writing_what_was_read_gives_the_same_bytes(value):
    data = canonical_bytes(value)
    assert canonical_bytes(parse_json(data, max_bytes=10**6)) == data


@given(st.dictionaries(st.text("abc"), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    backwards = dict(reversed(value.items()))
    assert canonical_bytes(backwards) == canonical_bytes(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {1, 2}, b"bytes", "\ud800", {"a": [math.nan]}])
def test_what_is_not_finite_json_is_refused(value):
    with pytest.raises(RecordError):
        canonical_bytes(value)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b'{"a":1,"a":2}', "repeated key"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1} {"b":2}', "Extra data"),
        (b'{"a":1}x', "Extra data"),
        (b"\xff\xfe", "utf-8"),
        (b"", "Expecting value"),
        (b"[" * 5000, "recursion"),
        (b"1" * 5000, "digits"),
    ],
)
def test_malformed_json_is_refused_by_name(data, word):
    with pytest.raises(RecordError, match=word):
        parse_json(data, max_bytes=10**4)


def test_the_length_is_checked_before_anything_is_parsed():
    with pytest.raises(RecordError, match="at most 10"):
        parse_json(b"[" * 11, max_bytes=10)


def test_just_as_many_bytes_as_allowed_are_parsed():
    assert parse_json(b"[1]", max_bytes=3) == [1]


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_raise_anything_else(data):
    try:
        parsed = parse_json(data, max_bytes=100)
    except RecordError:
        return
    assert parsed == json.loads(data)


def test_the_digest_is_that_of_the_standard():
    # FIPS 180-2, appendix B.1
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
