"""What the captions of a run decide: the measure, the grid's prompts, the caption that a prompt is measured by."""

from __future__ import annotations

import pytest

from paris.coordinator.report.captions import (
    agreement,
    chance_agreement,
    choose_prompts,
    closest_caption,
    judge_captions,
    shared_words,
)

CLASSES = ["shirt"] * 40 + ["boot"] * 30 + ["bag"] * 20


@pytest.mark.parametrize(
    ("captions", "kind", "classes"),
    [
        ([f"emoji {number}" for number in range(512)], "own", ()),
        ([f"emoji {number}" for number in range(513)], "texts", ()),
        (CLASSES, "classes", ("shirt", "boot", "bag")),
        ([*CLASSES, *[f"picture {number}" for number in range(60)]], "classes", ("shirt", "boot", "bag")),
        ([*CLASSES, *[f"picture {number}" for number in range(120)]], "own", ()),
        (["a hat", "a cap"] * 7, "own", ()),  # too few of each for a classifier
        ([*CLASSES, *[""] * 500], "classes", ("shirt", "boot", "bag")),
        ([""] * 50, "none", ()),
        (["a photo"] * 50, "none", ()),
    ],
)
def test_the_measure_follows_from_how_captions_are_shared(captions, kind, classes):
    found = judge_captions(captions)
    assert (found.kind, found.classes) == (kind, classes)
    assert found.why


def test_prompts_are_the_frequent_captions_of_each_cluster_in_turn():
    captions = ["boot"] * 5 + ["sandal"] * 2 + ["shirt"] * 4 + ["boot"] * 3 + ["coat"] + ["", ""]
    clusters = [0] * 7 + [2] * 10
    assert choose_prompts(captions, clusters) == ["boot", "shirt", "sandal", "coat"]
    assert choose_prompts(captions, clusters, most=3) == ["boot", "shirt", "sandal"]


def test_without_captions_the_grid_has_the_null_prompt():
    assert choose_prompts(["", ""], [0, 1]) == [""]


def test_a_prompt_is_measured_by_the_caption_that_shares_most_words_or_by_none():
    captions = ["red heart", "heart suit", "ankle boot"]
    assert closest_caption("a red heart", captions) == "red heart"
    assert closest_caption("boot", captions) == "ankle boot"
    assert closest_caption("a wizard", captions) is None
    assert closest_caption("a wizard", []) is None


def test_shared_words_are_those_of_both_over_those_of_either():
    assert shared_words("a red heart", "the red rose") == pytest.approx(1 / 3)
    assert shared_words("", "") == 0
    assert agreement(["red heart", "bus"], ["red heart", "car"]) == 0.5


def test_chance_is_the_agreement_with_other_captions():
    captions = ["red heart", "red rose", "blue bus", "grey cat"]
    pairs = [(a, b) for i, a in enumerate(captions) for j, b in enumerate(captions) if i != j]
    expected = sum(shared_words(a, b) for a, b in pairs) / len(pairs)
    assert chance_agreement(captions, captions) == pytest.approx(expected)
