"""`paris-coord warm-start` on two clusters of small pictures, really trained."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer.testing
from released_run import prepared_run

from paris.coordinator.all_data import run_shards
from paris.coordinator.cli import app
from paris.coordinator.config import dump_config
from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.initial_weights import initial_weights
from paris.coordinator.locks import served
from paris.coordinator.publishing import open_tasks
from paris.coordinator.run_data import model_config
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.spec import make_spec, make_tasks
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.warm_start import warm_start_run, warm_start_task
from paris.experts.data.shards import ShardFile
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
    train(run)
    return run


def train(run: RunDir, should_stop=lambda: False) -> None:
    warm_start_run(run, None, should_stop, as_json=True)


def changed(run: RunDir, name: str, **fields: object) -> RunDir:
    """The same folder with other fields of one table; None leaves a field out."""
    tables = run.config.model_dump(exclude_none=True)
    table = {field: value for field, value in {**tables[name], **fields}.items() if value is not None}
    config = type(run.config).model_validate({**tables, name: table})
    write_whole(run.path / "run.toml", dump_config(config).encode())
    return RunDir.open(run.path)


def change_data(run: RunDir) -> None:
    """As if it were prepared with other captions: as many rows, another digest."""
    path = run.data / "manifests" / "cluster-000.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))


def told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def start_file(run: RunDir) -> bytes:
    return (run.data / "initial_weights.safetensors").read_bytes()


def test_nothing_is_published_before_it_is_trained(prepared):
    for ask in (make_tasks, open_tasks, lambda run: make_spec(run, [])):
        with pytest.raises(NotReadyError, match="not made yet") as caught:
            ask(prepared)
        assert "paris-coord warm-start" in caught.value.next_step
    assert not prepared.initial_weights.exists()


def test_it_is_trained_on_the_batches_of_all_experts_together(prepared):
    task, one = warm_start_task(prepared, run_shards(prepared, model_config(prepared))), prepared.config.expert_training
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


def test_one_that_was_stopped_goes_on_to_the_same_bytes(prepared, warm, tmp_path, capsys):
    run, asked = copy_of(prepared, tmp_path), iter(range(100))
    train(run, lambda: next(asked) == 30)
    last = told(capsys)[-1]
    assert (last["event"], last["step"], last["steps"]) == ("stopped", 31, STEPS)
    assert not run.initial_weights.exists()
    train(run)
    lines = told(capsys)
    assert (lines[0]["step"], lines[-1]["event"]) == (31, "warm-started")
    assert start_file(run) == start_file(warm)
    assert not run.warm_start.exists()


def test_one_that_stands_is_not_trained_again_and_one_that_is_damaged_is(warm, tmp_path, capsys):
    run = copy_of(warm, tmp_path)
    train(run)
    assert [line["event"] for line in told(capsys)] == ["warm-started"]
    path = run.data / "initial_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    train(run)
    assert len(told(capsys)) > 2
    assert start_file(run) == start_file(warm)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: changed(run, "model", warm_start_steps=STEPS + 1), "other steps"),
        (lambda run: changed(run, "training", learning_rate=0.002), "other training"),
        (lambda run: change_data(run) or run, "other data"),
    ],
)
def test_tasks_are_not_opened_on_one_of_other_data_or_settings(warm, tmp_path, change, said):
    run = change(copy_of(warm, tmp_path))
    with pytest.raises(NotReadyError, match=said):
        open_tasks(run)
    assert open_tasks(copy_of(warm, tmp_path / "as it was")) == 2


def test_open_tasks_keep_their_start_whatever_is_changed_later(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    open_tasks(run)
    before = start_file(run)
    run = changed(run, "training", learning_rate=0.002, snapshot_every=7)
    assert make_spec(run, []).initial_weights == initial_weights(warm)
    assert open_tasks(run) == 2
    with pytest.raises(RunDirError, match="2 tasks are open") as caught:
        train(run)
    assert "init" in caught.value.next_step
    assert start_file(run) == before


def test_how_often_snapshots_are_made_does_not_make_it_another(warm, tmp_path, capsys):
    run = changed(copy_of(warm, tmp_path), "training", snapshot_every=7)
    train(run)
    assert [line["event"] for line in told(capsys)] == ["warm-started"]
    assert open_tasks(run) == 2


def test_what_was_begun_on_other_data_is_not_gone_on_with(prepared, tmp_path, capsys):
    run, asked = copy_of(prepared, tmp_path), iter(range(100))
    train(run, lambda: next(asked) == 30)
    change_data(run)
    train(run, lambda: True)
    assert told(capsys)[-1]["step"] == 1


def test_data_that_is_prepared_anew_meanwhile_is_noticed(prepared, tmp_path):
    run, asked = copy_of(prepared, tmp_path), iter(range(100))
    with pytest.raises(RunDirError, match="prepared anew during"):
        train(run, lambda: next(asked) == 30 and change_data(run))
    assert not run.initial_weights.exists()


def test_a_run_that_is_served_is_left_alone(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)
    with served(run), pytest.raises(RunDirError, match="being served"):
        train(run)
    assert not run.warm_start.exists()


def test_two_of_them_do_not_train_into_one_folder(prepared, tmp_path):
    run = copy_of(prepared, tmp_path)

    def another() -> bool:
        with pytest.raises(RunDirError, match="Another process"):
            train(run)
        return True

    train(run, another)


def test_a_file_that_is_gone_or_cut_is_missed_before_anything_is_published(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    path = run.data / "initial_weights.safetensors"
    for spoil in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        spoil()
        with pytest.raises(NotReadyError, match="not made yet"):
            make_spec(run, [])


def test_one_kind_of_start_is_not_taken_for_the_other(warm, tmp_path):
    run = changed(copy_of(warm, tmp_path), "model", warm_start_steps=None, imagenet_weights="dit.safetensors")
    with pytest.raises(NotReadyError) as caught:
        make_spec(run, [])
    assert "paris-coord prepare" in caught.value.next_step
    old = json.loads(run.initial_weights.read_bytes())
    write_whole(run.initial_weights, json.dumps({name: old[name] for name in ("path", "sha256", "bytes")}).encode())
    assert make_spec(run, []).initial_weights == initial_weights(warm)  # as ImageNet's were named before
    with pytest.raises(NotReadyError) as caught:
        make_spec(changed(run, "model", warm_start_steps=STEPS, imagenet_weights=None), [])
    assert "paris-coord warm-start" in caught.value.next_step


def test_a_run_without_one_has_nothing_to_do(prepared, tmp_path):
    run = changed(copy_of(prepared, tmp_path), "model", warm_start_steps=None)
    done = typer.testing.CliRunner().invoke(app, ["warm-start", str(run.path), "--device", "cpu"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing to do" in done.stderr
    assert initial_weights(run) is None


def test_tasks_are_opened_without_torch(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    program = (
        "import sys; from pathlib import Path; from paris.coordinator.publishing import open_tasks\n"
        "from paris.coordinator.rundir import RunDir\n"
        "print(open_tasks(RunDir.open(Path(sys.argv[1]))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, run.path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "2 False\n", done.stderr


def test_less_is_asked_of_an_expert_that_began_where_most_is_learned(prepared):
    config, usual = prepared.config, VerificationBounds()
    bounds = VerificationBounds.model_validate(config.verify_settings)
    assert (bounds.min_gain, bounds.min_peer_gain_share, bounds.max_foreign_advantage) == (0.03, 0.3, 0.1)
    assert (usual.min_gain, usual.min_peer_gain_share, usual.max_foreign_advantage) == (0.1, 0.6, 0.25)
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
