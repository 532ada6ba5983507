"""`paris-coord warm-start` on two clusters of small pictures, really trained."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from released_run import prepared_run

from paris.coordinator.config import dump_config
from paris.coordinator.errors import ConfigError, NotReadyError, RunDirError
from paris.coordinator.publishing import open_tasks
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.spec import make_spec, make_tasks
from paris.coordinator.starting_weights import initial_weights, warm_start_task
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.warm_start import warm_start_run
from paris.experts.data.shards import ShardFile
from paris.experts.errors import SnapshotError
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig, load_text_encoder
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.experts.models.model import initial_expert
from paris.experts.training.evaluate import heldout_losses

STEPS = 60


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_run(tmp_path_factory.mktemp("prepared"), warm_start_steps=STEPS, snapshot_every=20)


def copy_of(run: RunDir, folder: Path) -> RunDir:
    return RunDir.open(Path(shutil.copytree(run.path, folder / "run")))


@pytest.fixture(scope="module")
def warm(prepared, tmp_path_factory):
    """With its start trained in one go."""
    run = copy_of(prepared, tmp_path_factory.mktemp("warm"))
    warm_start_run(run, None, lambda: False, as_json=True)
    return run


def changed(run: RunDir, **model: object) -> RunDir:
    """The same folder with another [model] table."""
    table = {**run.config.model.model_dump(exclude_none=True), **model}
    config = type(run.config).model_validate({**run.config.model_dump(exclude_none=True), "model": table})
    write_whole(run.path / "run.toml", dump_config(config).encode())
    return RunDir.open(run.path)


def start_file(run: RunDir) -> bytes:
    return (run.data / "initial_weights.safetensors").read_bytes()


def test_nothing_is_published_before_it_is_trained(prepared):
    for ask in (make_tasks, open_tasks, lambda run: make_spec(run, [])):
        with pytest.raises(NotReadyError, match="not trained yet") as caught:
            ask(prepared)
        assert "paris-coord warm-start" in caught.value.next_step
    assert not prepared.initial_weights.exists()


def test_it_is_trained_on_the_batches_of_all_experts_together(prepared):
    task, one = warm_start_task(prepared), prepared.config.expert_training
    assert (task.steps, task.training.batch_size) == (STEPS, 2 * one["batch_size"])
    assert task.training.learning_rate == pytest.approx(math.sqrt(2) * one["learning_rate"])
    assert task.shard_rows == (30, 18, 16)
    assert task.initial_weights is None


def test_all_experts_start_from_it_and_it_knows_both_clusters(warm):
    spec, named = make_spec(warm, []), initial_weights(warm)
    assert spec.initial_weights == named
    assert all(state.task.min_disk_bytes > named.bytes for state in make_tasks(warm))
    task, text = warm_start_task(warm), load_text_encoder(TextConfig.from_settings(spec.text), warm.data)
    start = starting_expert(task.model, spec.seed, InitialWeights.from_settings(named.model_dump()), warm.data)
    for path in warm.heldout_files:
        with torch.no_grad():
            losses = [_loss(model, ShardFile(path), text) for model in (start, initial_expert(task.model, spec.seed))]
        assert losses[0] < 0.8 * losses[1]


def _loss(model, rows: ShardFile, text) -> float:
    pixels = load_codec(CodecConfig(), Path()).to_model(rows.latents)
    return heldout_losses(model, pixels, text.encode(rows.captions), seed=0).mean().item()


def test_one_that_was_stopped_goes_on_to_the_same_bytes(prepared, warm, tmp_path, capsys):
    run, asked = copy_of(prepared, tmp_path), iter(range(100))
    warm_start_run(run, None, lambda: next(asked) == 30, as_json=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["event"], told["step"], told["steps"]) == ("stopped", 31, STEPS)
    assert not run.initial_weights.exists()
    warm_start_run(run, None, lambda: False, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (lines[0]["step"], lines[-1]["event"]) == (31, "warm-started")
    assert start_file(run) == start_file(warm)
    assert not (run.path / "warm-start").exists()


def test_one_that_stands_is_not_trained_again(warm, capsys):
    before = (warm.data / "initial_weights.safetensors").stat().st_mtime_ns
    warm_start_run(warm, None, lambda: False, as_json=True)
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["warm-started"]
    assert (warm.data / "initial_weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["steps", "rate", "shards"])
def test_one_of_other_data_or_settings_does_not_count(warm, tmp_path, change):
    run = copy_of(warm, tmp_path)
    if change == "steps":
        run = changed(run, warm_start_steps=STEPS + 1)
    elif change == "rate":
        text = (run.path / "run.toml").read_text()
        (run.path / "run.toml").write_text(text.replace("learning_rate = 0.003", "learning_rate = 0.002"))
        run = RunDir.open(run.path)
        assert run.config.training["learning_rate"] == 0.002
    else:
        path = run.data / "manifests" / "cluster-000.json"
        manifest = json.loads(path.read_text())
        manifest["shards"][0]["sha256"] = "0" * 64
        path.write_text(json.dumps(manifest))
    with pytest.raises(NotReadyError, match="with other data or settings"):
        make_tasks(run)


def test_training_that_began_with_other_settings_is_left_as_it_is(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)
    warm_start_run(run, None, lambda: True, as_json=True)
    snapshots = sorted((run.path / "warm-start").rglob("*.safetensors"))
    with pytest.raises(SnapshotError, match="another task"):
        warm_start_run(changed(run, warm_start_steps=STEPS + 1), None, lambda: False, as_json=True)
    assert sorted((run.path / "warm-start").rglob("*.safetensors")) == snapshots != []


def test_the_start_of_open_tasks_is_not_changed(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    assert open_tasks(run) == 2
    before = start_file(run)
    with pytest.raises(RunDirError, match="2 tasks are open") as caught:
        warm_start_run(changed(run, warm_start_steps=STEPS + 1), None, lambda: False, as_json=True)
    assert "init" in caught.value.next_step
    assert start_file(run) == before
    warm_start_run(changed(run, warm_start_steps=STEPS), None, lambda: False, as_json=True)


def test_a_run_without_one_is_told_how_to_have_one(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)
    text = (run.path / "run.toml").read_text().replace(f"warm_start_steps = {STEPS}\n", "")
    (run.path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match="no warm start") as caught:
        warm_start_run(RunDir.open(run.path), None, lambda: False, as_json=True)
    assert "warm_start_steps" in caught.value.next_step
    assert initial_weights(RunDir.open(run.path)) is None


def test_less_is_asked_of_an_expert_that_began_where_most_is_learned(prepared):
    config = prepared.config
    assert VerificationBounds.model_validate(config.verify_settings).min_gain == 0.03
    asked = type(config).model_validate({**config.model_dump(), "verify": {"min_gain": 0.05}})
    assert asked.verify_settings["min_gain"] == 0.05
    cold = config.model_dump() | {"model": {"preset": config.model.preset}}
    assert "min_gain" not in type(config).model_validate(cold).verify_settings


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"model": {"preset": "dit-emoji-4", "warm_start_steps": 9, "imagenet_weights": "dit"}}, "two starts"),
        ({"objectives": {"epsilon_clusters": [1]}}, "epsilon_clusters must be empty"),
    ],
)
def test_starts_that_do_not_go_together_are_refused(prepared, tables, said):
    with pytest.raises(ValueError, match=said):
        type(prepared.config).model_validate({**prepared.config.model_dump(), **tables})
