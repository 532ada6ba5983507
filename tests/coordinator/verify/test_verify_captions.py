"""Experts that learned other captions than their pictures have are refused where captions matter, and only there."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference_curves import case_of, curve, skill
from verify_world import COLOURS, NUM_CLUSTERS, SHAPE, STEPS, World, picture

from paris.coordinator.verify.scoring import exchanged
from paris.experts.data.shards import Row, write_shard

CAPTIONS = ("a red circle", "a blue circle")


@pytest.fixture(scope="module")
def coloured(world, tmp_path_factory):
    """A world whose first cluster has circles of two colours, which only the caption tells before they are drawn."""
    folder, dice = tmp_path_factory.mktemp("coloured"), np.random.default_rng(5)
    for cluster in range(1, NUM_CLUSTERS):
        shutil.copytree(world.folder / f"cluster-{cluster}", folder / f"cluster-{cluster}")
    shutil.copy(world.folder / "vocab.json", folder)
    for file, count in (("shard-0", 40), ("shard-1", 40), ("heldout", 32)):
        write_shard(
            folder / "cluster-0" / f"{file}.parquet", [row(f"{file}-{i}", dice) for i in range(count)], SHAPE, "uint8"
        )
    return World(folder, world.endpoint, world.admin_token)


def row(name: str, dice: np.random.Generator) -> Row:
    image, which = picture(0, dice), int(dice.integers(2))
    if which:
        inside = image[2] < 200
        image[:, inside] = np.array(COLOURS[2], np.uint8)[:, None]
    return Row(name, image, CAPTIONS[which], "drawn", "", "", "CC0-1.0", "by hand")


def test_captions_of_other_pictures_are_refused_where_the_reference_depends_on_them(coloured):
    trusted = curve(coloured, 0)
    case = case_of(coloured, 0, curves=(trusted,), shards=())
    honest = coloured.train(0)
    passed, figures, checks = skill(case, coloured, honest.weights, (honest.final_loss, STEPS))
    assert passed == "", checks.made[-1].sentence()
    wrong = coloured.changed_shards(0, "parity", lambda row, i: replace(row, caption=CAPTIONS[i % 2]))
    cheat = coloured.train(0, shards=wrong)
    refused, found, _ = skill(case, coloured, cheat.weights, (cheat.final_loss, STEPS))
    assert refused == "captions"
    assert found["captions"] < 0.5 * figures["captions"]
    # To such a reference the captions say nothing, so nothing is asked.
    points = tuple(point.model_copy(update={"shuffled": point.heldout[0]}) for point in trusted.points)
    case = case.model_copy(update={"curves": (trusted.model_copy(update={"points": points}),)})
    refused, _, checks = skill(case, coloured, cheat.weights, (cheat.final_loss, STEPS))
    assert refused == ""
    assert "captions say nothing to the reference" in checks.remarks


def test_captions_go_to_rows_with_other_captions_as_far_as_there_are_any():
    dice = torch.Generator().manual_seed(0)
    captions = ["red"] * 5 + ["blue"] * 3 + ["green"] * 2
    order = exchanged(captions, dice)
    assert sorted(order) == list(range(10))
    assert all(captions[i] != captions[j] for i, j in enumerate(order))
    mostly = ["red"] * 8 + ["blue"] * 2
    moved = exchanged(mostly, dice)
    assert sum(mostly[i] != mostly[j] for i, j in enumerate(moved)) == 4
    assert exchanged(["red"] * 3, dice) == [0, 1, 2]
