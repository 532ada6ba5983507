"""The report on a small run with trained experts: its fields, pictures and text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from released_run import prepared_run, release

from paris.coordinator.report.build import build_report
from paris.coordinator.report.rows import HeldoutRows, TrainingRows
from paris.coordinator.run.config import dump_config
from paris.coordinator.run.directory import RunDir
from paris.experts.data.shards import Row, ShardFile, write_shard
from paris.experts.files import write_whole

PICTURES = ("samples", "nearest")


def size_px(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    run = prepared_run(tmp_path_factory.mktemp("reported"))
    release(run)
    return run


def with_prompts(run: RunDir, folder: Path, prompts: list[str]) -> RunDir:
    """A copy of a run with other prompts."""
    copy = shutil.copytree(run.path, folder / "run")
    sampling = run.config.sampling.model_copy(update={"prompts": prompts})
    write_whole(copy / "run.toml", dump_config(run.config.model_copy(update={"sampling": sampling})).encode())
    return RunDir.open(copy)


def without_captions(path: Path) -> None:
    shard = ShardFile(path)
    rows = [Row(f"row-{i}", np.array(x), "", "test", "", "", "cc0-1.0", "") for i, x in enumerate(shard.latents)]
    write_shard(path, rows, shard.shape, "uint8")


def test_a_run_with_shared_captions_is_measured_by_classes_and_beside_held_out_pictures(released, tmp_path):
    run = with_prompts(released, tmp_path, [])
    build_report(run, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    recognition = report["recognition"]
    assert recognition["kind"] == "classes"
    assert recognition["heldout_rate"] == 1.0  # dark red and bright blue
    assert [row["prompt"] for row in recognition["prompts"]] == ["a red heart", "a blue bus"]
    assert recognition["num_samples"] == 64
    assert report["nearest"]["num_rows"] == report["nearest"]["num_all_rows"] == 64
    assert report["nearest"]["copies_of_heldout"] == 0
    assert report["distances"]["kernel_of_data"] < report["distances"]["kernel"]
    # Both sides are noise of one distribution around two colours: nothing can be learned by heart in 60 steps.
    assert [losses["num_rows"] for losses in report["losses"].values()] == [12, 12]
    assert all(losses["heldout"] == pytest.approx(losses["training"], rel=0.05) for losses in report["losses"].values())
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "of held-out pictures 100%" in text
    assert "learned its pictures by heart" in text
    (samples_px, high_px), (nearest_px, also_px) = (size_px(tmp_path / "out" / f"{name}.png") for name in PICTURES)
    assert high_px == also_px
    assert samples_px < nearest_px  # two seeds and a training picture; two pairs


def test_a_run_without_captions_is_measured_by_distances_alone(released, tmp_path):
    run = with_prompts(released, tmp_path, [])
    for path in (*run.data.glob("shards/*/*.parquet"), *run.heldout_files):
        without_captions(path)
    build_report(run, tmp_path / "out", 20)
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["recognition"] | {"embedder": ""} == {
        "embedder": "",
        "kind": "none",
        "why": "no picture has a caption",
        "prompts": [],
    }
    assert (report["nearest"]["num_samples"], report["distances"]["num_rows"]) == (20, 20)
    assert "no sample is compared with its prompt" in (tmp_path / "out" / "report.md").read_text("utf-8")
    assert (tmp_path / "out" / "nearest.png").read_bytes().startswith(b"\x89PNG")


def test_rows_are_read_shard_by_shard_and_some_shards_of_each_cluster_if_there_are_many(released):
    every = TrainingRows(released)
    assert (len(every), every.num_all) == (64, 64)
    assert np.bincount(every.clusters).tolist() == [48, 16]
    stored = np.concatenate([block for _, block in every.blocks()])
    places = np.array([63, 0, 30, 30])
    assert np.array_equal(every.stored(places), stored[places])
    some = TrainingRows(released, most=31)
    assert np.bincount(some.clusters).tolist() == [30, 16]
    assert some.num_all == 64


def test_held_out_rows_are_as_many_of_each_cluster(released, tmp_path):
    assert np.bincount(HeldoutRows(released, 10).clusters).tolist() == [5, 5]
    run = with_prompts(released, tmp_path, [])
    shutil.rmtree(run.data / "heldout")
    assert HeldoutRows(run, 10).stored is None
