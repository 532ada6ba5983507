"""The data of the small models: what is read, shrunk, split and refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from benchmarks.small import fashion
from benchmarks.small.datasets import load_split
from benchmarks.small.pictures import SmallDataError, shrink, split, unit_pixels


def test_resizing_by_area_is_the_mean_over_a_finer_grid():
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 28, 28))
    fine = pictures.repeat(4, axis=1).repeat(4, axis=2)  # 112 = 16 * 7
    assert np.allclose(shrink(pictures, 16), fine.reshape(2, 16, 7, 16, 7).mean((2, 4)))


def test_the_held_out_pictures_are_others_in_the_proportions_of_the_whole():
    training, heldout = load_split("digits")
    assert np.bincount(training.labels).tolist() == [400] * 10
    assert np.bincount(heldout.labels).tolist() == [100] * 10
    assert sorted([*training.rows, *heldout.rows]) == list(range(5000))
    assert training.captions[0] == "zero"
    assert not np.array_equal(split(training, 100, 0)[1].rows, split(training, 100, 1)[1].rows)


def test_emoji_have_a_picture_a_name_and_a_group_each():
    training, heldout = load_split("emoji")
    assert training.pixels.shape[1:] == (24, 24, 3)
    assert not set(training.captions) & set(heldout.captions)
    assert set(training.labels) == set(range(9))
    assert training.captions[training.captions.index("red apple")] == "red apple"


def test_a_file_of_fashion_that_is_missing_or_another_is_refused(tmp_path):
    with pytest.raises(SmallDataError, match=r"train-images-idx3-ubyte\.gz is missing"):
        fashion.read(tmp_path)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(b"no idx file"))
    with pytest.raises(SmallDataError, match="not an IDX file"):
        fashion.read(tmp_path)


def test_idx_files_are_read_as_they_are_written(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    for part in ("train", "t10k"):
        for kind, values in (("images-idx3", pictures), ("labels-idx1", np.array([2, 0, 9], np.uint8))):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))
    found = fashion.read(tmp_path)
    assert found.captions == ("pullover", "t-shirt", "ankle boot") * 2
    assert np.allclose(found.pixels[:3].mean((1, 2, 3)), pictures.mean((1, 2)), atol=0.6)


def test_pictures_in_any_form_are_the_same_to_the_classifier():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    assert np.allclose(unit_pixels(pixels / 255.0), unit_pixels(pixels))
    with pytest.raises(SmallDataError, match="28"):
        unit_pixels(np.zeros((3, 28, 28)))
