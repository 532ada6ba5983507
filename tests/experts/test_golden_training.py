"""Short trainings end with the same weights, to the last bit, as when their golden values were written."""

from __future__ import annotations

import pytest
from golden_training import golden_training
from golden_values import compare, read

MADE_UNDER, GOLDEN = read("training")
ATOL, KEY_BIAS_ATOL, BFLOAT16_ATOL = 2e-5, 5e-4, 1e-2
"""The gradient of a key's bias is zero but for rounding, which AdamW makes large."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return golden_training(tmp_path_factory.mktemp("golden"))


def test_every_training_has_golden_values(made):
    assert made.keys() == GOLDEN.keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_a_short_training_ends_with_the_golden_weights_and_commitments(made, case):
    def atol(name):
        if case == "bfloat16":
            return BFLOAT16_ATOL
        return KEY_BIAS_ATOL if name.endswith("in_proj_bias") else ATOL

    compare(made[case], GOLDEN[case], MADE_UNDER, atol=atol, rtol=1e-5)
