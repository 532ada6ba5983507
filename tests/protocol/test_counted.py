"""A number and its word agree."""

from __future__ import annotations

import pytest

from paris.protocol.counted import counted, numbered


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("volunteer",), "0 volunteers"),
        (1, ("volunteer",), "1 volunteer"),
        (12_345, ("volunteer",), "12,345 volunteers"),
        (1, ("expert is", "experts are"), "1 expert is"),
        (2, ("expert is", "experts are"), "2 experts are"),
    ],
)
def test_one_is_not_many(number, words, said):
    assert counted(number, *words) == said


def test_several_numbers_have_the_word_of_many():
    assert [numbered("step", steps) for steps in ((100,), (100, 200))] == ["step 100", "steps 100 and 200"]
