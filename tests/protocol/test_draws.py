from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paris.protocol.draws import Stretch, draw, draw_digest

SECRET, COMMITMENT = "ab" * 32, "cd" * 32
STEPS = (500, 1000, 1500, 2000)


def drawn_by(count: int, rate: float, start: int = 4000) -> list[tuple[Stretch, ...]]:
    """The draws of legs of four stretches, one for each of so many leases."""
    steps = [start + step for step in STEPS]
    return [draw(f"{i:064x}", COMMITMENT, steps, start, rate) for i in range(count)]


def test_a_draw_is_what_the_document_says():
    """These values are in docs/protocol/coordinator-records.md: another implementation can test itself against them."""
    assert draw_digest(SECRET) == "9a2db2e23f1504cd056606553ac049c5e718e8f9ce9233876df1a7a1821af885"
    assert draw(SECRET, COMMITMENT, STEPS, 0, 1.0) == (Stretch(0, 500), Stretch(500, 1000))


def test_the_digest_is_of_the_secrets_bytes():
    assert draw_digest(SECRET) == hashlib.sha256(bytes.fromhex(SECRET)).hexdigest()


def test_the_first_stretch_of_a_training_is_always_replayed_and_no_other_at_rate_0():
    assert draw(SECRET, COMMITMENT, STEPS, 0, 0.0) == (Stretch(0, 500),)
    assert draw(SECRET, COMMITMENT, STEPS, 250, 0.0) == ()


def test_at_rate_1_every_leg_is_replayed_and_every_stretch_is_as_likely():
    found = drawn_by(400, 1.0)
    assert {len(stretches) for stretches in found} == {1}
    counts = [sum(stretches[0].end == 4000 + step for stretches in found) for step in STEPS]
    assert min(counts) > 70  # of 100 expected; deviation 8.7
    assert max(counts) < 130


def test_the_rate_is_the_share_of_legs():
    replayed = sum(bool(stretches) for stretches in drawn_by(1000, 0.2))
    assert 140 < replayed < 260  # of 200 expected; deviation 12.6


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_another_secret_or_commitment_makes_another_draw(rate):
    legs = [(f"{i:02x}" * 32, f"{j:02x}" * 32) for i in range(8) for j in range(8)]
    found = {leg: draw(*leg, [7000 + step for step in STEPS], 7000, rate) for leg in legs}
    assert len({found["00" * 32, f"{j:02x}" * 32] for j in range(8)}) > 1
    assert len({found[f"{i:02x}" * 32, "00" * 32] for i in range(8)}) > 1


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=20, unique=True).map(sorted),
    st.booleans(),
    st.floats(0, 1),
)
def test_stretches_lie_between_neighbouring_snapshots_in_order_and_none_is_twice(steps, is_first, rate):
    start = 0 if is_first else steps[0] - 1
    found = draw(SECRET, COMMITMENT, steps, start, rate)
    assert set(found) <= set(zip((start, *steps), steps, strict=False))
    assert list(found) == sorted(set(found))


def test_whether_and_which_stretch_are_drawn_by_different_numbers():
    """Equal ones would replay late stretches never at a small rate."""
    found = {stretch for stretches in drawn_by(2000, 0.1) for stretch in stretches}
    assert len(found) == len(STEPS)
    for lease in range(12):
        assert draw(f"{lease:064x}", COMMITMENT, (4500, 5000, 5500, 6000), 4000, 1.0) == (expected_stretch(lease),)


def expected_stretch(lease: int) -> Stretch:
    """By the words of docs/protocol/coordinator-records.md."""
    key, message = bytes.fromhex(f"{lease:064x}"), f"stretch\n{COMMITMENT}".encode()
    number = int.from_bytes(hmac.new(key, message, hashlib.sha256).digest()[:8], "big") * 4 >> 64
    return Stretch(4000 + 500 * number, 4500 + 500 * number)
