"""The report's measures, each by another route than the one that computes it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from paris.coordinator.report.captions import CaptionUse, judge_captions
from paris.coordinator.report.classifier import LinearClassifier
from paris.coordinator.report.losses import equally_many
from paris.coordinator.report.model import grid_mark
from paris.coordinator.report.nearest import find_nearest
from paris.coordinator.report.recognition import Compared, Featured, measure_recognition
from paris.coordinator.report.tables import print_summary, summary_rows

CENTRES = {"shirt": (6.0, 0.0), "boot": (-6.0, 0.0), "bag": (0.0, 6.0)}


def around(captions, seed):
    """Features of pictures of classes that lie apart."""
    dice = np.random.default_rng(seed)
    rows = [np.array(CENTRES[caption]) + dice.standard_normal(2) for caption in captions]
    return Featured(list(captions), torch.tensor(np.array(rows), dtype=torch.float32).reshape(-1, 2))


def test_the_classifier_has_the_minimum_of_its_loss():
    torch.manual_seed(0)
    features, labels = torch.randn(60, 4), torch.arange(60) % 3
    found = LinearClassifier(features, labels, 3)
    x = ((features - features.mean(0)) / features.std(0)).double()
    weight, bias = found._weight.detach(), found._bias.detach()
    # At the minimum the gradient is zero: X' (p - y) / N + 2 penalty W = 0, and the mean of p is that of y.
    error = torch.softmax(x @ weight.T + bias, 1) - torch.nn.functional.one_hot(labels).double()
    assert torch.allclose(error.T @ x / 60 + 2e-3 * weight, torch.zeros_like(weight), atol=1e-4)
    assert torch.allclose(error.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-4)


@pytest.mark.parametrize("block_rows", [1, 7, 50])
def test_the_nearest_rows_are_those_of_all_pairs(block_rows):
    dice = np.random.default_rng(3)
    rows, pictures = dice.integers(0, 256, (50, 3, 4, 4)).astype(np.uint8), dice.uniform(-1, 1, (9, 3, 4, 4))
    pictures[0] = rows[20] / 127.5 - 1.0
    blocks = ((first, rows[first : first + block_rows]) for first in range(0, 50, block_rows))
    found = find_nearest(pictures, blocks, lambda stored: stored / 127.5 - 1.0)
    pairs = np.sqrt(((pictures[:, None] - (rows / 127.5 - 1.0)[None]) ** 2).mean((2, 3, 4)))
    assert found.places.tolist() == pairs.argmin(1).tolist()
    assert np.allclose(found.distance, np.sort(pairs)[:, 0], atol=1e-5)
    assert np.allclose(found.second, np.sort(pairs)[:, 1], atol=1e-5)
    assert found.is_copy.tolist() == [True] + [False] * 8


def test_a_copy_is_much_nearer_to_one_row_than_to_all_others():
    rows = np.array([[0.0, 0.0], [1.0, 1.0]])
    found = find_nearest(np.array([[0.2, 0.2], [0.3, 0.3], [0.5, 0.5]]), [(0, rows)], lambda stored: stored)
    assert found.is_copy.tolist() == [True, False, False]


def test_samples_of_shared_captions_are_judged_by_a_classifier_beside_held_out_pictures():
    names = list(CENTRES)
    training, heldout = around(names * 20, 0), around(names * 5, 1)
    wrong = around(["shirt"] * 4, 2)
    samples = Featured(["shirt"] * 4 + ["boot"] * 4, torch.cat([wrong.features, wrong.features]))
    grid = Featured(["a boot"] * 2 + ["wizard"] * 2, around(["boot", "bag", "bag", "bag"], 3).features)
    use = judge_captions(training.texts)
    found = measure_recognition(use, Compared(training, heldout, samples, grid, 2))
    assert (found["kind"], found["rate"], found["heldout_rate"], found["chance"]) == ("classes", 0.5, 1.0, 0.5)
    assert found["by_caption"] == {"shirt": 1.0, "boot": 0.0}
    assert found["prompts"] == [
        {"prompt": "a boot", "caption": "boot", "rate": 0.5, "recognised": False},
        {"prompt": "wizard", "caption": None, "rate": None, "recognised": False},
    ]


def test_samples_of_captions_of_their_own_are_judged_by_the_nearest_training_picture():
    training = Featured(["red heart", "red rose", "blue bus"], torch.eye(3))
    heldout = Featured(["red car"], torch.tensor([[0.9, 0.5, 0.0]]))
    samples = Featured(training.texts, torch.tensor([[2.0, 0.1, 0], [1, 0.2, 0], [0, 0, 3]]))
    grid = Featured(["a bus", "a bus"], torch.tensor([[0.0, 1, 0], [0, 1, 2]]))
    found = measure_recognition(judge_captions(training.texts), Compared(training, heldout, samples, grid, 2))
    assert found["kind"] == "own"
    assert found["rate"] == pytest.approx(2 / 3)
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["missed"] == ["red rose"]
    assert found["prompts"][0] == {"prompt": "a bus", "caption": "blue bus", "rate": 0.5, "recognised": False}
    # The second sample's nearest is the red heart: one word of three. The held-out car's too.
    assert found["shared_words"]["samples"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert found["shared_words"]["heldout"] == pytest.approx(1 / 3)
    assert found["shared_words"]["chance"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3, abs=0.12)


def test_samples_of_many_texts_are_judged_by_words_alone():
    training = Featured(["red heart", "blue bus"], torch.eye(2))
    nothing = Featured([], torch.zeros(0, 2))
    samples = Featured(["red heart", "red bus"], torch.tensor([[1.0, 0], [0, 1.0]]))
    use = CaptionUse("texts", "many")
    found = measure_recognition(use, Compared(training, nothing, samples, samples, 1))
    assert set(found) == {"kind", "why", "prompts", "shared_words"}
    assert found["shared_words"]["samples"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["shared_words"]["heldout"] is None
    assert found["prompts"] == []


def test_losses_of_as_many_rows_of_either_side_are_compared():
    few, many = np.arange(3) + 50, np.arange(20)
    for first, second in ((few, many), (many, few), (few, few)):
        ours, theirs = equally_many(first, second, seed=1)
        assert len(ours) == len(theirs) == 3
        assert set(ours) <= set(first)
        assert set(theirs) <= set(second)


def test_marks_of_the_grid_say_what_was_measured():
    assert grid_mark("own", 0.0) == "0% nearest by features"
    assert grid_mark("classes", 0.75) == "75% recognised"
    assert grid_mark("own", None) == grid_mark("texts", None) == ""


def test_names_of_volunteers_are_no_markup_of_the_summary():
    name = "[/bold]\x1b]0;x\x07[red]eve"
    run = {"run_id": "r", "curves": {}, "experts": [], "verdicts": []}
    report = run | {"volunteers": {name: {"join_to_first_step_s": 1.0, "control_plane_bytes": 9}}}
    out = io.StringIO()
    print_summary(report, out)
    assert "[/bold]\\x1b]0;x\\x07[red]eve" in out.getvalue()
    assert "\x1b]" not in out.getvalue()


def test_the_summary_shows_who_trained_which_legs_and_whose_work_was_refused():
    legs = [{"start_step": 0, "steps": 50, "volunteer": "ada"}, {"start_step": 50, "steps": 80, "volunteer": "ben"}]
    verdict = {"task_id": "expert-2", "volunteer_name": "eve", "accepted": False, "reason": "skill/gain: 0.01"}
    report = {"run_id": "r", "curves": {}, "experts": [], "legs": {"expert-1": legs}, "verdicts": [verdict]}
    rows = dict(summary_rows(report))
    assert rows["legs of expert-1"] == "steps 0 to 50 by ada, 50 to 80 by ben"
    assert rows["expert-2 of eve"] == "rejected: skill/gain: 0.01"
