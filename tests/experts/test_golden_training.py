"""Short trainings end with the same weights, to the last bit, as when their golden values were written."""

from __future__ import annotations

import pytest
from golden_training import golden_training
from golden_values import compare, read

MADE_UNDER, GOLDEN = read("training")
# The gradient of a key's bias is zero but for rounding, which AdamW makes large: most of all in bfloat16.
ATOL, BFLOAT16_ATOL = 5e-4, 1e-2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return golden_training(tmp_path_factory.mktemp("golden"))


def test_every_training_has_golden_values(made):
    assert made.keys() == GOLDEN.keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_a_short_training_ends_with_the_golden_weights_and_commitments(made, case):
    atol = BFLOAT16_ATOL if case == "bfloat16" else ATOL
    compare(made[case], GOLDEN[case], MADE_UNDER, atol=atol, rtol=1e-4)
