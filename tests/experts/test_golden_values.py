"""The comparison with golden values fails where it should, and says what it does not compare."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_values import BitsNotComparedWarning, Golden, circumstances, compare

GOLDEN = Golden(same={"rows": [3, 4]}, bits={"file": "ab"}, near={"mean": [1.0, -2.0]})
ELSEWHERE = {**circumstances(), "torch": "1.0.0"}
CHANGES = {
    "other rows": {"same": {"rows": [4, 3]}},
    "a far number": {"near": {"mean": [1.0, -2.01]}},
    "no number": {"near": {"mean": [float("nan"), -2.0]}},
    "fewer numbers": {"near": {"mean": [1.0]}},
    "another name": {"near": {"deviation": [1.0, -2.0]}},
}


def exactly(name):
    return 0.0


def test_equal_values_pass():
    compare(GOLDEN, GOLDEN, circumstances(), atol=exactly)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore::golden_values.BitsNotComparedWarning")
def test_a_changed_value_fails_on_any_machine(change):
    for made_under in (circumstances(), ELSEWHERE):
        with pytest.raises(AssertionError):
            compare(replace(GOLDEN, **CHANGES[change]), GOLDEN, made_under, atol=lambda name: 1e-3, rtol=1e-3)


def test_changed_bits_fail_under_equal_circumstances():
    with pytest.raises(AssertionError):
        compare(replace(GOLDEN, bits={"file": "ac"}), GOLDEN, circumstances(), atol=exactly)


def test_bits_that_are_not_compared_are_named_with_the_reason():
    other = replace(GOLDEN, bits={"file": "ac"})
    with pytest.warns(BitsNotComparedWarning, match=r"bits not compared: torch .* here, 1\.0\.0 in the golden file"):
        compare(other, GOLDEN, ELSEWHERE, atol=exactly)
