"""A stretch trained again: with the very bits of the first time, or near them, or far from what a cheat claims."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny_training import make_data, make_task, never, shard_path

from paris.experts.errors import CheckpointError, SnapshotError
from paris.experts.training.commitments import FILES, commitment_of, read_state, scheduled_folder
from paris.experts.training.config import TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.experts.training.machine import MachineSettings
from paris.experts.training.replay import Replay
from paris.experts.training.state_distance import Distance, distance
from paris.experts.weights.checkpoint import load_tensors, read_specs, save_tensors

TASK = make_task()
NEAR = 1e-4
FAR = 50 * NEAR


@dataclass
class Trained:
    """An honest training with all of its snapshots."""

    data: Path

    def snapshot(self, step: int) -> Path:
        return scheduled_folder(self.data / "work" / "snapshots", step)

    def shard(self, index: int) -> Path:
        return shard_path(self.data, index)

    def stretch(self, folder: Path, start: int, end: int, task: TrainingTask = TASK) -> Replay:
        """A stretch from a state of this training; another task than this one's is what a cheat trains instead."""
        head = None
        if start > 0:
            shutil.copytree(self.snapshot(start), folder / HEAD_FOLDER)
            state = read_state(self.snapshot(start))
            head = Head(
                step=start,
                loss=state.loss,
                previous=state.previous,
                commitment=commitment_of(state.previous, task.digest, start, state.files),
                files=state.files,
            )
        return Replay(task, Leg(until_step=end, head=head), folder, self.data)

    def distance(
        self, folder: Path, start: int, end: int, machine: MachineSettings | None = None, **changes: object
    ) -> Distance:
        """Of the honest end from the one that is reached otherwise."""
        replay = self.stretch(folder, start, end, make_task(**changes))
        replay.run(self.shard, machine)
        return replay.distance(self.snapshot(end))


def replayed(folder: Path, step: int) -> Path:
    return scheduled_folder(folder / "snapshots", step)


def contents(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.safetensors").read_bytes() for name in FILES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    make_data(folder)
    found = Trained(folder)
    # As a leg, so that all of its snapshots are kept.
    ExpertTraining(TASK, folder / "work", found.shard, folder, leg=Leg(until_step=24)).run(lambda progress: None, never)
    return found


@pytest.mark.parametrize(("start", "end"), [(0, 5), (5, 10), (5, 20), (20, 24)])
def test_a_stretch_has_the_bits_and_the_commitment_of_the_first_time(
    trained: Trained, tmp_path: Path, start: int, end: int
) -> None:
    replay = trained.stretch(tmp_path, start, end)
    state = replay.run(trained.shard)
    assert contents(replayed(tmp_path, end)) == contents(trained.snapshot(end))
    assert state.commitment == read_state(trained.snapshot(end)).commitment
    assert replay.distance(trained.snapshot(end)) == Distance(0.0, 0.0)


def test_asked_again_after_its_end_it_trains_no_step(trained: Trained, tmp_path: Path) -> None:
    replay = trained.stretch(tmp_path, 5, 10)
    first = replay.run(trained.shard)
    assert replay.run(lambda index: tmp_path / "no-data") == first


@pytest.mark.parametrize(
    "machine",
    [MachineSettings(num_threads=2), MachineSettings(micro_batch_size=2)],
    ids=["threads", "micro-batch"],
)
def test_another_machines_rounding_stays_near(trained: Trained, tmp_path: Path, machine: MachineSettings) -> None:
    found = trained.distance(tmp_path, 10, 15, machine)
    assert found.weights < NEAR
    assert found.moments < NEAR


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 2.9e-3}, {"batch_size": 5}, {"caption_dropout": 0.0}, {"weight_decay": 0.5}],
    ids=lambda change: next(iter(change)),
)
def test_other_training_is_far_away(trained: Trained, tmp_path: Path, change: dict[str, float]) -> None:
    assert trained.distance(tmp_path, 10, 15, **change).weights > FAR


def edited(snapshot: Path, folder: Path, file: str, edit: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a state with other tensors in one file."""
    shutil.copytree(snapshot, folder)
    path = folder / f"{file}.safetensors"
    tensors = load_tensors(path, read_specs(path))
    edit(tensors)
    save_tensors(path, tensors)
    return folder


def times(kind: str, factor: float) -> Callable[[dict[str, torch.Tensor]], None]:
    """Multiplies the moments of one bias, which is 0.2 % of the model."""

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{kind}.layers.1.mlp.0.bias"] *= factor

    return edit


@pytest.mark.parametrize(("kind", "factor"), [("exp_avg", 30.0), ("exp_avg_sq", 0.01), ("exp_avg_sq", 100.0)])
def test_moments_of_one_small_tensor_that_would_carry_the_next_leg_away_show(
    trained: Trained, tmp_path: Path, kind: str, factor: float
) -> None:
    claimed = edited(trained.snapshot(15), tmp_path / "claimed", "optimizer", times(kind, factor))
    found = distance(trained.snapshot(15), claimed, trained.snapshot(10))
    assert found.weights == 0.0
    assert found.moments > FAR


def test_noise_on_the_weights_shows_by_its_length(trained: Trained, tmp_path: Path) -> None:
    def add_noise(tensors: dict[str, torch.Tensor]) -> None:
        generator = torch.Generator().manual_seed(0)
        for value in tensors.values():
            value += 1e-3 * torch.randn(value.shape, generator=generator)

    claimed = edited(trained.snapshot(15), tmp_path / "claimed", "weights", add_noise)
    ends, starts = (
        load_tensors(s / "weights.safetensors", read_specs(s / "weights.safetensors"))
        for s in (trained.snapshot(15), trained.snapshot(10))
    )
    size = sum(value.numel() for value in ends.values())
    moved = sum(float((ends[name] - starts[name]).square().sum()) for name in ends) ** 0.5
    found = distance(trained.snapshot(15), claimed, trained.snapshot(10))
    assert found.weights == pytest.approx(1e-3 * size**0.5 / moved, rel=0.02)
    assert found.moments == 0.0


@pytest.mark.parametrize("damage", ["name", "shape", "nan"])
def test_a_claimed_file_of_other_tensors_is_refused(trained: Trained, tmp_path: Path, damage: str) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        name = next(iter(tensors))
        if damage == "name":
            tensors["other"] = tensors.pop(name)
        elif damage == "shape":
            tensors[name] = torch.zeros(3)
        else:
            tensors[name].view(-1)[0] = torch.nan

    claimed = edited(trained.snapshot(15), tmp_path / "claimed", "ema", edit)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        distance(trained.snapshot(15), claimed, trained.snapshot(10))


def test_a_truncated_claimed_file_is_refused(trained: Trained, tmp_path: Path) -> None:
    claimed = shutil.copytree(trained.snapshot(15), tmp_path / "claimed")
    path = claimed / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors"):
        distance(trained.snapshot(15), claimed, trained.snapshot(10))


def test_a_negative_second_moment_is_refused(trained: Trained, tmp_path: Path) -> None:
    claimed = edited(trained.snapshot(15), tmp_path / "claimed", "optimizer", times("exp_avg_sq", -1.0))
    with pytest.raises(CheckpointError, match=r"second moment of 'layers\.1\.mlp\.0\.bias' is negative"):
        distance(trained.snapshot(15), claimed, trained.snapshot(10))


def test_a_start_of_another_task_is_refused(trained: Trained, tmp_path: Path) -> None:
    replay = trained.stretch(tmp_path, 5, 10)
    other = Replay(make_task(learning_rate=1e-3), replay.stretch, tmp_path, trained.data)
    with pytest.raises(SnapshotError, match="does not follow from the task"):
        other.run(trained.shard)
