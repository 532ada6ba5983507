"""`paris-coord train-router --from-samples`: a router that has seen no picture of the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer.testing
from released_run import prepared_run, release

from paris.coordinator.cli.app import app
from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.training.router import run_router_job
from paris.coordinator.training.router_samples import draw_samples
from paris.experts.errors import ShardError
from paris.experts.pipeline.expert_samples import in_proportion, read_samples
from paris.experts.release.layout import read_router


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    run = prepared_run(tmp_path_factory.mktemp("released"))
    release(run)
    return run


@pytest.fixture
def run(released, tmp_path):
    """A copy that a test may change."""
    return RunDir.open(Path(shutil.copytree(released.path, tmp_path / "run")))


def train(run, *words):
    done = typer.testing.CliRunner().invoke(app, ["train-router", str(run.path), "--from-samples", *map(str, words)])
    assert done.exit_code == 0, done.output or done.exception
    return json.loads((run.router / "report.json").read_text()), done.stderr


def test_a_router_trained_on_samples_separates_real_clusters(run):
    report, message = train(run, "--samples-per-expert", 64, "--max-resident-experts", 1)
    assert (report["trained_on"], report["judged_on"]) == ("samples", "data")
    assert (report["num_rows"], report["num_heldout"]) == (128, 24)
    assert report["accuracy_by_noise"][0][2] > 0.9
    assert "trained on samples of the experts, names the cluster of" in message
    assert read_router(run.router).config.num_clusters == 2
    assert (run.router / "prompt_router.safetensors").is_file()


def test_each_expert_draws_in_proportion_to_its_cluster(run):
    draw_samples(run, 64, null_prompt=False)
    clusters, heldout = read_samples(run.samples)
    assert [sum(data.shard_rows) for data in clusters] == [96, 32]
    assert heldout == []
    assert set(clusters[0].shard(0).captions) == {"a red heart"}


def test_without_the_data_a_router_is_trained_and_evaluated_on_null_prompt_samples(run):
    shutil.rmtree(run.data / "shards")
    shutil.rmtree(run.data / "heldout")
    with pytest.raises(NotReadyError, match=r"captions of cluster 0 are needed"):
        draw_samples(run, 32, null_prompt=False)
    report, message = train(run, "--samples-per-expert", 32, "--null-prompt")
    assert (report["trained_on"], report["judged_on"]) == ("samples", "samples")
    assert (report["num_rows"], report["num_heldout"]) == (64, 8)
    assert "of further samples" in message
    assert not (run.router / "prompt_router.json").exists()


def test_interrupted_sampling_resumes_to_the_same_bytes(run):
    draw_samples(run, 16, null_prompt=False)
    files = sorted(run.samples.rglob("*.parquet"))
    whole = {path: path.read_bytes() for path in files}
    files[-1].unlink()
    first = files[0].stat().st_mtime_ns
    with pytest.raises(ShardError, match=r"lacks train/expert-001/shard-00000.parquet"):
        run_router_job(run, from_samples=True)
    draw_samples(run, 16, null_prompt=False)
    assert {path: path.read_bytes() for path in files} == whole
    assert files[0].stat().st_mtime_ns == first
    draw_samples(run, 17, null_prompt=False)
    assert files[0].stat().st_mtime_ns > first
    assert in_proportion([48, 16], 17) == (26, 8)


def test_options_of_sampling_without_from_samples_are_refused(run):
    done = typer.testing.CliRunner().invoke(app, ["train-router", str(run.path), "--null-prompt"])
    assert isinstance(done.exception, ConfigError)
    assert not run.router.exists()


def test_without_samples_the_job_says_so(run):
    with pytest.raises(ShardError, match="holds no samples"):
        run_router_job(run, from_samples=True)
