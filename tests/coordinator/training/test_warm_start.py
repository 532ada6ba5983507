"""`paris-coord warm-start` on two clusters of small pictures, really trained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import typer.testing
from warm_run import (
    STEPS,
    change_data,
    changed,
    copy_of,
    json_lines,
    prepared_warm_run,
    start_file,
    train,
    warm_copy_of,
)

from paris.coordinator.cli.app import app
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.initial_weights import initial_weights
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.run.prepared_data import model_config
from paris.coordinator.service.tasks import make_tasks
from paris.coordinator.training.pooled import pooled_shards
from paris.coordinator.training.warm_start import warm_start_task
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.experts.models.model import initial_expert
from paris.experts.training.evaluate import heldout_losses


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_warm_run(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def warm(prepared, tmp_path_factory):
    return warm_copy_of(prepared, tmp_path_factory.mktemp("warm"))


def test_it_is_trained_with_the_total_batch_of_all_experts(prepared):
    task, one = (
        warm_start_task(prepared, pooled_shards(prepared, model_config(prepared))),
        prepared.config.expert_training,
    )
    assert (task.steps, task.training.batch_size) == (STEPS, 2 * one["batch_size"])
    assert task.training.learning_rate == pytest.approx(math.sqrt(2) * one["learning_rate"])
    assert task.shard_rows == (30, 18, 16)
    assert task.initial_weights is None


def test_all_experts_start_from_it_and_it_knows_both_clusters(warm):
    spec, named = make_spec(warm, []), initial_weights(warm)
    assert spec.initial_weights == named
    assert all(state.task.min_disk_bytes > named.bytes for state in make_tasks(warm))
    model, text = model_config(warm), load_text_encoder(TextConfig.from_settings(spec.text), warm.data)
    start = starting_expert(model, spec.seed, InitialWeights.from_settings(named.model_dump()), warm.data)
    blank = initial_expert(model, spec.seed)
    for path in warm.heldout_files:
        with torch.no_grad():
            losses = [_loss(model, ShardFile(path), text) for model in (start, blank)]
        assert losses[0] < 0.8 * losses[1]


def _loss(model, rows: ShardFile, text) -> float:
    pixels = load_codec(CodecConfig(), Path()).to_model(rows.latents)
    return heldout_losses(model, pixels, text.encode(rows.captions), seed=0).mean().item()


def test_a_stopped_warm_start_resumes_to_the_same_bytes(prepared, warm, tmp_path, capsys):
    run, calls = copy_of(prepared, tmp_path), iter(range(100))
    train(run, lambda: next(calls) == 30)
    last = json_lines(capsys)[-1]
    assert (last["event"], last["step"], last["steps"]) == ("stopped", 31, STEPS)
    assert not run.initial_weights.exists()
    train(run)
    lines = json_lines(capsys)
    assert (lines[0]["step"], lines[-1]["event"]) == (31, "warm-started")
    assert start_file(run) == start_file(warm)
    assert not run.warm_start.exists()


def test_a_finished_warm_start_is_trained_again_only_if_damaged(warm, tmp_path, capsys):
    run = copy_of(warm, tmp_path)
    train(run)
    assert [line["event"] for line in json_lines(capsys)] == ["warm-started"]
    path = run.data / "initial_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    train(run)
    assert len(json_lines(capsys)) > 2
    assert start_file(run) == start_file(warm)


def test_snapshots_of_other_data_are_not_resumed(prepared, tmp_path, capsys):
    run, calls = copy_of(prepared, tmp_path), iter(range(100))
    train(run, lambda: next(calls) == 30)
    change_data(run)
    train(run, lambda: True)
    assert json_lines(capsys)[-1]["step"] == 1


def test_data_that_is_prepared_again_during_the_training_is_an_error(prepared, tmp_path):
    run, calls = copy_of(prepared, tmp_path), iter(range(100))
    with pytest.raises(RunDirError, match="prepared again during"):
        train(run, lambda: next(calls) == 30 and change_data(run))
    assert not run.initial_weights.exists()


def test_a_served_run_is_left_unchanged(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)
    with serve_lock(run), pytest.raises(RunDirError, match="being served"):
        train(run)
    assert not run.warm_start.exists()


def test_two_processes_do_not_train_in_one_folder(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)

    def another() -> bool:
        with pytest.raises(RunDirError, match="Another process"):
            train(run)
        return True

    train(run, another)


def test_a_run_without_warm_start_has_nothing_to_do(prepared, tmp_path):
    run = changed(copy_of(prepared, tmp_path), "model", warm_start_steps=None)
    done = typer.testing.CliRunner().invoke(app, ["warm-start", str(run.path), "--device", "cpu"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing to do" in done.stderr
    assert initial_weights(run) is None
