from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from deadlines import DEADLINE_S
from test_checkpoint import largest_file
from tiny_training import (
    SHARD_ROWS,
    Listener,
    Undisturbed,
    is_same,
    make_data,
    make_rows,
    make_task,
    make_training,
    never,
    shard_path,
)

from paris.experts.data.order import RowOrder
from paris.experts.data.shards import write_shard
from paris.experts.errors import ShardError, SnapshotError, TrainingError
from paris.experts.files import DiskFullError, file_sha256
from paris.experts.models.model import DiTExpert
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.weights.checkpoint import load_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.run(folder, tmp_path_factory.mktemp("work"))


def test_a_training_ends_with_loadable_weights_a_chain_and_reports(undisturbed: Undisturbed) -> None:
    finished, heard = undisturbed.finished, undisturbed.listener.heard
    assert finished.is_complete
    assert (finished.step, finished.commitment_step, finished.notes) == (24, 24, ())
    assert finished.weights_path
    assert finished.weights_sha256 == file_sha256(finished.weights_path)
    load_weights(finished.weights_path, DiTExpert(tiny_training.MODEL))
    assert [progress.step for progress in heard] == [0, 4, 5, 8, 10, 12, 15, 16, 20, 24]
    assert [progress.commitment_step for progress in heard] == [0, 0, 5, 5, 10, 10, 15, 15, 20, 24]
    assert heard[0].commitment is None
    assert heard[0].loss is None
    assert len({progress.commitment for progress in heard}) == 6
    assert all(progress.steps_per_s > 0 for progress in heard[1:])


def test_training_lowers_the_loss(folder: Path, tmp_path: Path) -> None:
    listener = Listener()
    make_training(folder, tmp_path, steps=150, snapshot_every=150, learning_rate=5e-3).run(listener.report, never)
    assert listener.heard[-1].loss < 0.85 * listener.heard[1].loss


@pytest.mark.parametrize("stop_after", [3, 10, 17])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed, stop_after: int
) -> None:
    listener = Listener(stop_after)
    stopped = make_training(folder, tmp_path).run(listener.report, listener.should_stop)
    assert (stopped.is_complete, stopped.weights_path) == (False, None)
    assert (stopped.step, stopped.commitment_step) == (stop_after, stop_after // 5 * 5)
    listener = Listener()
    finished = make_training(folder, tmp_path).run(listener.report, never)
    assert listener.heard[0].step == stopped.step
    assert is_same(finished, undisturbed)


def test_a_finished_training_that_is_started_again_only_says_so(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    work = undisturbed.finished.weights_path.parent
    shutil.copytree(work, tmp_path / "work")
    listener = Listener()

    def no_shard(index: int) -> Path:
        raise ShardError(f"shard {index} is not needed")

    again = ExpertTraining(make_task(), tmp_path / "work", no_shard, folder).run(listener.report, never)
    assert [progress.step for progress in listener.heard] == [24]
    assert is_same(again, undisturbed)


def test_a_training_in_float16_that_was_stopped_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    settings = {"precision": "float16", "steps": 8}
    whole = make_training(folder, tmp_path / "whole", **settings).run(lambda _: None, never)
    listener = Listener(stop_after=3)
    make_training(folder, tmp_path / "cut", **settings).run(listener.report, listener.should_stop)
    cut = make_training(folder, tmp_path / "cut", **settings).run(lambda _: None, never)
    assert (cut.weights_sha256, cut.commitment) == (whole.weights_sha256, whole.commitment)


def child(folder: Path, work: Path, *pause_at: str) -> subprocess.Popen[str]:
    command = [sys.executable, tiny_training.__file__, str(folder), str(work), *pause_at]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    lines = []
    for line in process.stdout or ():
        lines.append(line.strip())
        if line.startswith(wanted):
            return lines
    raise AssertionError(f"the process ended without saying {wanted!r}: {lines}")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


@pytest.mark.slow
def test_a_training_killed_in_the_middle_ends_with_the_bits_of_one_that_was_not(
    folder: Path, tmp_path: Path, processes: list[subprocess.Popen[str]], undisturbed: Undisturbed
) -> None:
    killed = child(folder, tmp_path / "work", "13")
    processes.append(killed)
    lines_until(killed, "step 13")
    killed.kill()
    assert killed.wait(DEADLINE_S) == -9
    assert not (tmp_path / "work" / "expert.safetensors").exists()

    resumed = child(folder, tmp_path / "work")
    processes.append(resumed)
    lines = lines_until(resumed, "done")
    assert lines[0] == "step 10"
    assert lines[-1] == f"done {undisturbed.finished.weights_sha256} {undisturbed.finished.commitment}"
    assert (tmp_path / "work" / "expert.safetensors").read_bytes() == undisturbed.finished.weights_path.read_bytes()


def test_a_damaged_newest_snapshot_is_said_and_changes_nothing(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    listener = Listener(stop_after=10)
    make_training(folder, tmp_path).run(listener.report, listener.should_stop)
    weights = tmp_path / "snapshots" / "step-00000010" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    listener = Listener()
    finished = make_training(folder, tmp_path).run(listener.report, never)
    assert listener.heard[0].step == 5
    assert "step-00000010 is damaged and was removed" in listener.heard[0].note
    assert len(finished.notes) == 1
    assert is_same(finished, undisturbed)


def test_a_full_disk_is_said_and_the_training_goes_on_from_the_last_snapshot(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    listener = Listener(stop_after=10)
    make_training(folder, tmp_path).run(listener.report, listener.should_stop)
    with largest_file(20_000), pytest.raises(DiskFullError, match="No space left"):
        make_training(folder, tmp_path).run(listener.report, never)
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["step-00000005", "step-00000010"]
    assert is_same(make_training(folder, tmp_path).run(listener.report, never), undisturbed)


def test_micro_batches_change_nothing_but_rounding(folder: Path, tmp_path: Path) -> None:
    whole = make_training(folder, tmp_path / "whole", steps=3).run(lambda _: None, never)
    cut = make_training(folder, tmp_path / "cut", steps=3, micro_batch_size=4).run(lambda _: None, never)
    assert cut.final_loss == pytest.approx(whole.final_loss, rel=1e-5)
    models = [DiTExpert(tiny_training.MODEL) for _ in range(2)]
    for model, finished in zip(models, (whole, cut), strict=True):
        load_weights(finished.weights_path, model)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert make_task(micro_batch_size=4).digest == make_task().digest != make_task(steps=9).digest


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bfloat16"},
        {"precision": "float16"},
        {"objective": {"kind": "epsilon"}},
        {"time_sampling": "logit-normal"},
        {"grad_clip": 0.01},
    ],
)
def test_each_way_of_training_runs_and_differs(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed, settings: dict[str, object]
) -> None:
    finished = make_training(folder, tmp_path, steps=4, **settings).run(lambda _: None, never)
    assert math.isfinite(finished.final_loss)
    assert finished.final_loss != undisturbed.listener.heard[1].loss


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(folder: Path, tmp_path: Path) -> None:
    task = make_task(snapshot_every=1)
    bad_shard, bad_row = 2, 3
    for index, count in enumerate(SHARD_ROWS):
        rows = [replace(row, latent=row.latent.astype(np.float16)) for row in make_rows(count, seed=index)]
        if index == bad_shard:
            rows[bad_row].latent[0, 0, 0] = np.inf
        write_shard(shard_path(tmp_path, index), rows, tiny_training.SHAPE, "float16")
    order = RowOrder(task.seed, task.task_id, task.shard_rows, task.training.window_shards)
    step = next(step for step in range(24) if (bad_shard, bad_row) in order.batch(step, 6))
    training = ExpertTraining(task, tmp_path / "work", lambda index: shard_path(tmp_path, index), folder)
    with pytest.raises(TrainingError, match=rf"The loss of step {step} is (nan|inf)"):
        training.run(lambda _: None, never)
    kept = sorted(path.name for path in (tmp_path / "work" / "snapshots").iterdir())
    assert kept == [f"step-{number:08d}" for number in range(max(1, step - 1), step + 1)]


def test_a_folder_of_another_task_is_refused(folder: Path, undisturbed: Undisturbed) -> None:
    work = undisturbed.finished.weights_path.parent
    with pytest.raises(SnapshotError, match="of another task"):
        make_training(folder, work, learning_rate=1e-3).run(lambda _: None, never)
