"""What a run publishes of a warm start: nothing before it is trained, and no other one once tasks are open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from hub_gate import DATA, run_hub, running_hub
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

from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.initial_weights import initial_weights
from paris.coordinator.service.tasks import make_tasks, open_tasks
from paris.coordinator.service.upload import publish_data
from paris.coordinator.verify.bounds import VerificationBounds
from paris.experts.files import write_whole


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_warm_run(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def warm(prepared, tmp_path_factory):
    return warm_copy_of(prepared, tmp_path_factory.mktemp("warm"))


def test_nothing_is_published_before_it_is_trained(prepared):
    for ask in (make_tasks, open_tasks, lambda run: make_spec(run, [])):
        with pytest.raises(NotReadyError, match="not made yet") as caught:
            ask(prepared)
        assert "paris-coord warm-start" in caught.value.next_step
    assert not prepared.initial_weights.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: changed(run, "model", warm_start_steps=STEPS + 1), "other steps"),
        (lambda run: changed(run, "training", learning_rate=0.002), "other training"),
        (lambda run: change_data(run) or run, "other data"),
    ],
)
def test_tasks_do_not_open_on_a_warm_start_of_other_data_or_settings(warm, tmp_path, change, message):
    run = change(copy_of(warm, tmp_path))
    with pytest.raises(NotReadyError, match=message):
        open_tasks(run)
    assert open_tasks(copy_of(warm, tmp_path / "as it was")).num_tasks == 2


def test_open_tasks_keep_their_initial_weights_after_later_changes(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    open_tasks(run)
    before = start_file(run)
    run = changed(run, "training", learning_rate=0.002, snapshot_every=7)
    assert make_spec(run, []).initial_weights == initial_weights(warm)
    assert open_tasks(run).num_tasks == 2
    with pytest.raises(RunDirError, match="2 tasks are open") as caught:
        train(run)
    assert "init" in caught.value.next_step
    assert start_file(run) == before


def test_the_snapshot_interval_does_not_invalidate_a_warm_start(warm, tmp_path, capsys):
    run = changed(copy_of(warm, tmp_path), "training", snapshot_every=7)
    train(run)
    assert [line["event"] for line in json_lines(capsys)] == ["warm-started"]
    assert open_tasks(run).num_tasks == 2


def test_a_missing_or_truncated_file_is_found_before_publishing(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    path = run.data / "initial_weights.safetensors"
    for spoil in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        spoil()
        with pytest.raises(NotReadyError, match="not made yet"):
            make_spec(run, [])


def test_initial_weights_of_the_other_kind_are_not_used(warm, tmp_path):
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


def test_tasks_are_opened_without_torch(warm, tmp_path):
    run = copy_of(warm, tmp_path)
    program = (
        "import sys; from pathlib import Path; from paris.coordinator.service.tasks import open_tasks\n"
        "from paris.coordinator.run.directory import RunDir\n"
        "print(open_tasks(RunDir.open(Path(sys.argv[1]))).num_tasks, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, run.path], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stdout == "2 False\n", done.stderr


def test_experts_from_a_warm_start_have_lower_verification_bounds(prepared):
    config, usual = prepared.config, VerificationBounds()
    bounds = VerificationBounds.model_validate(config.verify_settings)
    assert (bounds.min_gain, bounds.min_peer_gain_share, bounds.max_foreign_advantage) == (0.03, 0.3, 0.1)
    assert (usual.min_gain, usual.min_peer_gain_share, usual.max_foreign_advantage) == (0.1, 0.6, 0.25)
    asked = type(config).model_validate({**config.model_dump(), "verify": {"min_gain": 0.05}})
    assert asked.verify_settings["min_gain"] == 0.05
    cold = config.model_dump() | {"model": {"preset": config.model.preset}}
    assert "min_gain" not in type(config).model_validate(cold).verify_settings


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"model": {"preset": "dit-emoji-4", "warm_start_steps": 9, "imagenet_weights": "dit"}},
            "imagenet_weights exclude each other",
        ),
        ({"objectives": {"epsilon_clusters": [1]}}, "epsilon_clusters must be empty"),
    ],
)
def test_initial_weights_that_exclude_each_other_are_refused(prepared, tables, message):
    with pytest.raises(ValueError, match=message):
        type(prepared.config).model_validate({**prepared.config.model_dump(), **tables})


def test_initial_weights_are_published_once_and_never_damaged(warm, tmp_path):
    run, events = copy_of(warm, tmp_path), []
    path = run.data / "initial_weights.safetensors"
    with running_hub(tmp_path / "hub") as server:
        hub = run_hub(server.url)
        hub.ensure_repos()
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"?")
        with pytest.raises(NotReadyError, match="is not the file of"):
            publish_data(run, hub, events.append)
        path.write_bytes(whole)
        for _ in range(2):
            manifests = publish_data(run, hub, events.append)
        assert [event.kind for event in events] == ["uploaded"]
        there = hub.api.hf_hub_download(
            DATA, path.name, repo_type="dataset", revision=manifests[0].revision, cache_dir=tmp_path / "cache"
        )
        assert Path(there).read_bytes() == whole
        assert not hub.api.file_exists(DATA, "initial_weights.json", repo_type="dataset")
