"""A release is written as, and draws what, it did when the golden values were written, to the last bit."""

from __future__ import annotations

import pytest
from golden_release import golden_pictures
from golden_values import compare, read

MADE_UNDER, GOLDEN = read("pictures")
# A pixel that is rounded the other way differs by 1 / 255.
ATOL = 0.005


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return golden_pictures(tmp_path_factory.mktemp("golden"))


def test_every_way_of_sampling_has_golden_values(made):
    assert made.keys() == GOLDEN.keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_a_release_draws_the_golden_pictures(made, case):
    compare(made[case], GOLDEN[case], MADE_UNDER, atol=lambda name: ATOL)
