"""Legs: several trainings, each from the state where the one before ended, make the bits of one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_training import Listener, Undisturbed, is_same, make_data, make_task, shard_path

from paris.experts.errors import SettingsError, SnapshotError
from paris.experts.files import file_sha256
from paris.experts.training.commitments import FILES, commitment_of, read_state, scheduled_folder
from paris.experts.training.config import Finished
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture(scope="module")
def first(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a leg from the start to step 10."""
    work = tmp_path_factory.mktemp("first")
    train(folder, work, Leg(until_step=10))
    return work


def train(folder: Path, work: Path, leg: Leg, listener: Listener | None = None) -> Finished:
    listener = listener or Listener()
    training = ExpertTraining(make_task(), work, lambda index: shard_path(folder, index), folder, leg=leg)
    return training.run(listener.report, listener.should_stop)


def hand_over(giver: Path, taker: Path, step: int) -> Head:
    """What passes from one volunteer to the next: three files and the facts of the head."""
    source = scheduled_folder(giver / "snapshots", step)
    (taker / HEAD_FOLDER).mkdir(parents=True)
    for name in FILES:
        shutil.copy(source / f"{name}.safetensors", taker / HEAD_FOLDER)
    fields = ("step", "loss", "previous", "commitment", "files")
    return Head.from_settings({name: json.loads((source / "state.json").read_text())[name] for name in fields})


def test_legs_of_three_machines_end_with_the_bits_of_one_undisturbed_training(
    folder: Path, first: Path, tmp_path: Path
) -> None:
    undisturbed = Undisturbed.run(folder, tmp_path / "whole")
    second, third = tmp_path / "second", tmp_path / "third"
    stopped = train(folder, second, leg := Leg(until_step=20, head=hand_over(first, second, 10)), Listener(3))
    assert (stopped.step, stopped.is_complete, stopped.weights_path) == (13, False, None)
    end = train(folder, second, leg)
    assert (end.step, end.is_complete, end.weights_path) == (20, True, None)
    listener = Listener()
    last = train(folder, third, Leg(until_step=24, head=hand_over(second, third, 20)), listener)
    assert listener.heard[0].step == 20
    assert is_same(last, undisturbed)


def test_lanes_draw_other_rows_and_are_replayed_to_the_same_bits(folder: Path, first: Path, tmp_path: Path) -> None:
    """Lane 0 is a training without lanes; the head of one lane is a start for any other."""
    head = hand_over(first, tmp_path / "one", 5)
    hand_over(first, tmp_path / "again", 5)
    lane = Leg(until_step=10, head=head, lane=1)
    ends = [train(folder, tmp_path / name, lane) for name in ("one", "again")]
    assert ends[0].commitment == ends[1].commitment
    assert ends[0].commitment != read_state(scheduled_folder(first / "snapshots", 10)).commitment
    assert Leg.from_settings(Leg(until_step=10).to_settings()).lane == 0


def test_every_snapshot_of_a_leg_stays_and_none_before_it(folder: Path, first: Path, tmp_path: Path) -> None:
    train(folder, tmp_path, Leg(until_step=24, head=hand_over(first, tmp_path, 5)))
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert names == [f"step-{step:08d}" for step in (5, 10, 15, 20, 24)]
    chain = [read_state(scheduled_folder(tmp_path / "snapshots", step)) for step in (5, 10, 15, 20, 24)]
    assert [state.previous for state in chain[1:]] == [state.commitment for state in chain[:-1]]
    ema = scheduled_folder(tmp_path / "snapshots", 24) / "ema.safetensors"
    assert file_sha256(ema) == file_sha256(tmp_path / "expert.safetensors")


@pytest.mark.parametrize("change", ["previous", "commitment", "step", "files", "names"])
def test_a_head_whose_commitment_does_not_follow_is_refused(
    folder: Path, first: Path, tmp_path: Path, change: str
) -> None:
    head = hand_over(first, tmp_path, 10)
    other = {
        "previous": {"previous": "1" * 64},
        "commitment": {"commitment": "1" * 64},
        "step": {"step": 5},
        "files": {"files": {**head.files, "ema": "1" * 64}},
        "names": {"files": {"weights": head.files["weights"]}},
    }
    with pytest.raises(SnapshotError, match="does not follow"):
        train(folder, tmp_path, Leg(until_step=15, head=head.model_copy(update=other[change])))
    assert not (tmp_path / "snapshots").exists()


def test_a_head_with_damaged_files_is_not_trained_from_and_is_fetched_anew(
    folder: Path, first: Path, tmp_path: Path
) -> None:
    head = hand_over(first, tmp_path, 10)
    (tmp_path / HEAD_FOLDER / "optimizer.safetensors").write_bytes(b"half")
    with pytest.raises(SnapshotError, match=r"from step 10, where the leg starts: .* is damaged and was removed"):
        train(folder, tmp_path, Leg(until_step=15, head=head))
    assert list((tmp_path / "snapshots").iterdir()) == []
    hand_over(first, tmp_path, 10)
    assert train(folder, tmp_path, Leg(until_step=15, head=head)).step == 15


def test_a_head_of_another_model_is_refused(folder: Path, first: Path, tmp_path: Path) -> None:
    head = hand_over(first, tmp_path, 10)
    swapped = {**head.files, "weights": head.files["optimizer"], "optimizer": head.files["weights"]}
    commitment = commitment_of(head.previous, make_task().digest, head.step, swapped)
    work = tmp_path / HEAD_FOLDER
    (work / "weights.safetensors").rename(work / "kept")
    (work / "optimizer.safetensors").rename(work / "weights.safetensors")
    (work / "kept").rename(work / "optimizer.safetensors")
    other = head.model_copy(update={"files": swapped, "commitment": commitment})
    with pytest.raises(SnapshotError, match="where the leg starts"):
        train(folder, tmp_path, Leg(until_step=15, head=other))


@pytest.mark.parametrize("until_step", [12, 23, 25, 30])
def test_a_leg_ends_at_a_scheduled_snapshot_alone(folder: Path, tmp_path: Path, until_step: int) -> None:
    with pytest.raises(SettingsError, match="cannot end at step"):
        train(folder, tmp_path, Leg(until_step=until_step))


def test_a_finished_leg_that_is_started_again_only_says_so(folder: Path, first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "work")
    listener = Listener()
    again = train(folder, tmp_path / "work", Leg(until_step=10), listener)
    assert [progress.step for progress in listener.heard] == [10]
    assert (again.is_complete, again.commitment_step) == (True, 10)
