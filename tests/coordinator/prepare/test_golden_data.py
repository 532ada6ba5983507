"""The demo's data is the same to the last bit as when its golden values were written."""

from __future__ import annotations

import pytest
from golden_data import golden_data
from golden_values import compare, read

MADE_UNDER, GOLDEN = read("demo_data")
ATOL = 0.02
"""Of a cluster's mean pixel, from 0 to 255."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return golden_data(tmp_path_factory.mktemp("golden"))


def test_the_demo_has_the_golden_clusters(made):
    assert made.keys() == GOLDEN.keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_the_demos_manifests_shards_and_heldout_rows_are_the_golden_ones(made, case):
    compare(made[case], GOLDEN[case], MADE_UNDER, atol=lambda name: ATOL)
