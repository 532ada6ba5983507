"""The small model of digits: its data, and every stage of it once, far too short to draw anything."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.digits.clusters import mutual_information
from benchmarks.digits.data import DigitsError, as_gray, load_split, shrink
from benchmarks.digits.experts import part_names, train_part
from benchmarks.digits.folder import frechet_of, load
from benchmarks.digits.model import write_models
from benchmarks.digits.routers import train_routers
from benchmarks.digits.settings import DigitsSettings, keep_settings
from benchmarks.digits.train import prepare
from paris.experts.errors import SettingsError

SMALLEST = DigitsSettings(
    experts=2,
    steps=3,
    router_steps=2,
    router_heldout=20,
    prompt_router_steps=2,
    classifier_epochs=1,
    hidden_size=16,
    num_layers=1,
    samples=20,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits")
    keep_settings(path, SMALLEST)
    prepare(path, SMALLEST)
    for part in part_names(SMALLEST, with_monolith=True):
        train_part(path, part)
    train_routers(path)
    write_models(path, SMALLEST, with_monolith=True)
    return path


def test_resizing_by_area_is_the_mean_over_a_finer_grid():
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 28, 28))
    fine = pictures.repeat(4, axis=1).repeat(4, axis=2)  # 112 = 16 * 7
    assert np.allclose(shrink(pictures, 16), fine.reshape(2, 16, 7, 16, 7).mean((2, 4)))


def test_the_held_out_digits_are_others_and_as_many_of_each_kind():
    training, heldout = load_split(seed=3)
    assert np.bincount(training.labels).tolist() == [400] * 10
    assert np.bincount(heldout.labels).tolist() == [100] * 10
    assert sorted([*training.rows, *heldout.rows]) == list(range(5000))
    assert np.array_equal(load_split(seed=3)[1].rows, heldout.rows)
    assert not np.array_equal(load_split(seed=4)[1].rows, heldout.rows)
    assert training.captions[0] == "zero"


def test_pictures_in_any_form_are_the_same_to_the_classifier():
    gray = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    coloured = np.repeat(gray[..., None], 3, axis=3)
    for other in (coloured, coloured / 255.0):
        assert np.allclose(as_gray(other), as_gray(gray))
    with pytest.raises(DigitsError, match="28"):
        as_gray(np.zeros((3, 28, 28)))


def test_clusters_that_are_digits_say_all_of_them_and_random_ones_nothing():
    assert mutual_information(np.diag([5, 7, 9])) == pytest.approx(1)
    assert mutual_information(np.outer([1, 2], [3, 4, 5])) == pytest.approx(0, abs=1e-12)


def test_a_folder_is_not_gone_on_with_under_other_settings(tmp_path):
    keep_settings(tmp_path, SMALLEST)
    keep_settings(tmp_path, SMALLEST)
    with pytest.raises(DigitsError, match="steps 3, not 4"):
        keep_settings(tmp_path, SMALLEST.model_copy(update={"steps": 4}))


def test_the_batch_is_split_evenly_or_not_at_all():
    assert SMALLEST.training(is_monolith=False).batch_size * 2 == SMALLEST.training(is_monolith=True).batch_size
    with pytest.raises(SettingsError, match="evenly over 3"):
        DigitsSettings.from_settings({"experts": 3})


def test_a_trained_folder_samples_and_measures_both_models(folder):
    digits = load(folder)
    assert len(digits.pipeline.experts) == 2
    for pipeline in (digits.pipeline, digits.monolith()):
        pictures, labels = digits.draw(20, pipeline, num_inference_steps=2)
        assert pictures.shape == (20, 16, 16, 3)
        assert labels.tolist() == [*range(10)] * 2
    found = digits.judge.figures(pictures, labels)
    assert found["frechet_heldout"] == pytest.approx(digits.judge.frechet_of(pictures), abs=1e-3)
    assert found["frechet_heldout"] == pytest.approx(frechet_of(pictures, folder=folder), abs=1e-3)
    assert found["frechet_heldout"] > 3 * digits.judge.floor_of(100)


def test_what_is_done_is_not_done_again(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    prepare(folder, SMALLEST)
    train_part(folder, "expert-0")
    train_routers(folder)
    write_models(folder, SMALLEST, with_monolith=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
