"""The compact form of a state: legs from it end with the bits of one training, and it takes half of the bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_training import Listener, Undisturbed, is_same, make_data, make_task, never, shard_path

from paris.experts.errors import CheckpointError
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import PRESETS
from paris.experts.training.adamw import moment_shapes
from paris.experts.training.commitments import COMPACT_FORMAT, EXACT_FORMAT, FILES, read_state, scheduled_folder
from paris.experts.training.compact_state import compact_specs, exact_values
from paris.experts.training.config import Finished, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.experts.training.machine import MachineSettings
from paris.experts.training.needs import least_disk_bytes, num_parameters, state_bytes
from paris.experts.training.replay import Replay
from paris.experts.training.sketch import sketch_state
from paris.experts.training.state_distance import Distance, distance
from paris.experts.weights.checkpoint import TensorSpec, load_tensors, read_specs, save_tensors, specs_of

TASK = make_task(state="compact")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Undisturbed]:
    """The work folder of a leg over the whole training, and how it ended."""
    work, listener = tmp_path_factory.mktemp("whole"), Listener()
    return work, Undisturbed(train(folder, work, Leg(until_step=24), listener), listener)


def train(folder: Path, work: Path, leg: Leg, listener: Listener, machine: MachineSettings | None = None) -> Finished:
    training = ExpertTraining(TASK, work, lambda index: shard_path(folder, index), folder, machine, leg=leg)
    return training.run(listener.report, listener.should_stop)


def snapshot(work: Path, step: int) -> Path:
    return scheduled_folder(work / "snapshots", step)


def hand_over(giver: Path, taker: Path, step: int) -> Head:
    (taker / HEAD_FOLDER).mkdir(parents=True)
    for name in FILES:
        shutil.copy(snapshot(giver, step) / f"{name}.safetensors", taker / HEAD_FOLDER)
    fields = {"step", "loss", "previous", "commitment", "files"}
    return Head.from_settings(read_state(snapshot(giver, step)).model_dump(include=fields))


def test_legs_from_compact_states_end_with_the_bits_of_one_training_also_when_they_are_interrupted(
    folder: Path, whole: tuple[Path, Undisturbed], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(folder, first, Leg(until_step=10), Listener(stop_after=8))
    train(folder, first, Leg(until_step=10), Listener())
    leg = Leg(until_step=24, head=hand_over(first, second, 10))
    paused = train(folder, second, leg, Listener(stop_after=3))
    assert (paused.step, paused.is_complete) == (13, False)
    assert is_same(train(folder, second, leg, Listener()), whole[1])


def test_only_scheduled_snapshots_before_the_last_step_are_compact(
    folder: Path, whole: tuple[Path, Undisturbed], tmp_path: Path
) -> None:
    formats = {step: read_state(snapshot(whole[0], step)).format for step in (5, 10, 15, 20, 24)}
    assert formats == {**dict.fromkeys((5, 10, 15, 20), COMPACT_FORMAT), 24: EXACT_FORMAT}
    train(folder, tmp_path, Leg(until_step=24), Listener(stop_after=3))
    (pause,) = (tmp_path / "snapshots").iterdir()
    assert (pause.name, read_state(pause).format) == ("pause-00000003", EXACT_FORMAT)
    assert all(spec.dtype == torch.float32 for spec in read_specs(pause / "weights.safetensors").values())


def test_the_last_snapshot_has_the_finished_expert(whole: tuple[Path, Undisturbed]) -> None:
    ema = snapshot(whole[0], 24) / "ema.safetensors"
    assert ema.read_bytes() == (whole[0] / "expert.safetensors").read_bytes()


def test_a_state_of_a_large_expert_takes_at_most_8_bytes_a_parameter() -> None:
    model = PRESETS["dit-xl-2"]
    with torch.device("meta"):
        weights = specs_of(DiTExpert(model).state_dict())
    moments = moment_shapes({name: spec.shape for name, spec in weights.items()}, "float32")
    found = compact_specs({"weights": weights, "ema": weights, "optimizer": moments})
    num_bytes = sum(_num_bytes(spec) for file in found.values() for spec in file.values())
    assert num_bytes / num_parameters(model) < 7.1
    assert state_bytes(model, state="compact") == pytest.approx(num_bytes, rel=1e-3)
    assert least_disk_bytes(model, leg_snapshots=9, state="compact") < 0.6 * least_disk_bytes(model, leg_snapshots=9)


def _num_bytes(spec: TensorSpec) -> int:
    return torch.Size(spec.shape).numel() * spec.dtype.itemsize


def test_what_the_files_stand_for_is_near_to_what_was_trained(folder: Path, tmp_path: Path) -> None:
    """Against an exact training, before which the form changes nothing: the first snapshot."""
    states = {}
    for form in ("exact", "compact"):
        task, work = make_task(state=form), tmp_path / form
        shards = [shard_path(folder, index) for index in range(4)]
        ExpertTraining(task, work, shards.__getitem__, folder, leg=Leg(until_step=5)).run(lambda _: None, never)
        files = {
            name: load_tensors(path, read_specs(path))
            for name in FILES
            for path in [snapshot(work, 5) / f"{name}.safetensors"]
        }
        states[form] = {
            file: dict(exact_values(file, _in_pairs(files[file]), files["ema"].__getitem__)) for file in FILES
        }
    exact, near = states["exact"], states["compact"]
    assert exact["optimizer"].keys() == near["optimizer"].keys()
    for name, average in exact["ema"].items():
        assert torch.equal(average, near["ema"][name])
        difference = exact["weights"][name] - average
        assert _error(near["weights"][name] - average, difference) < 0.02
        for kind, bound in (("exp_avg", 0.06), ("exp_avg_sq", 0.06)):
            assert _error(near["optimizer"][f"{kind}.{name}"], exact["optimizer"][f"{kind}.{name}"]) < bound


def _in_pairs(tensors: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    """As in a snapshot: a tensor's code before its exponents."""
    return sorted(tensors.items(), key=lambda pair: (pair[0].split(".", 1)[-1], pair[0]))


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


def replay_of(folder: Path, giver: Path, taker: Path, start: int, end: int) -> Replay:
    head = hand_over(giver, taker, start) if start else None
    return Replay(TASK, Leg(until_step=end, head=head), taker, folder)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (10, 15), (20, 24)])
def test_a_replayed_stretch_has_equal_bits_and_other_rounding_stays_near(
    folder: Path, whole: tuple[Path, Undisturbed], tmp_path: Path, start: int, end: int
) -> None:
    claimed = snapshot(whole[0], end)
    equal = replay_of(folder, whole[0], tmp_path / "equal", start, end)
    assert equal.run(lambda index: shard_path(folder, index)).commitment == read_state(claimed).commitment
    assert equal.distance(claimed) == Distance(0.0, 0.0)
    other = replay_of(folder, whole[0], tmp_path / "other", start, end)
    other.run(lambda index: shard_path(folder, index), MachineSettings(micro_batch_size=2))
    found = other.distance(claimed)
    assert found.weights < 2e-4
    assert found.moments < 2e-3


def test_a_sketch_is_that_of_the_values_that_the_files_stand_for(
    whole: tuple[Path, Undisturbed], tmp_path: Path
) -> None:
    for step in (10, 15):
        files = {name: load_tensors(path, read_specs(path)) for name, path in _files(snapshot(whole[0], step)).items()}
        for name, path in _files(tmp_path / str(step)).items():
            save_tensors(path, dict(exact_values(name, _in_pairs(files[name]), files["ema"].__getitem__)))
    nonce = "5" * 64
    found = sketch_state(snapshot(whole[0], 15), snapshot(whole[0], 10), nonce)
    assert found == sketch_state(tmp_path / "15", tmp_path / "10", nonce)
    assert found != sketch_state(snapshot(whole[0], 15), snapshot(whole[0], 5), nonce)


def _files(state: Path) -> dict[str, Path]:
    return {name: state / f"{name}.safetensors" for name in FILES}


@pytest.mark.parametrize("file", ["weights", "optimizer"])
def test_other_exponents_of_a_claimed_state_are_far_away(
    whole: tuple[Path, Undisturbed], tmp_path: Path, file: str
) -> None:
    claimed = tmp_path / "claimed"
    shutil.copytree(snapshot(whole[0], 15), claimed)
    path = claimed / f"{file}.safetensors"
    tensors = load_tensors(path, read_specs(path))
    for name in tensors:
        if name.startswith("exponent."):
            tensors[name] += 3
    save_tensors(path, tensors)
    found = distance(snapshot(whole[0], 15), claimed, snapshot(whole[0], 10))
    assert max(found.weights, found.moments) > 0.5


def test_a_claimed_state_of_the_other_form_is_refused(whole: tuple[Path, Undisturbed]) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.safetensors lacks"):
        distance(snapshot(whole[0], 20), snapshot(whole[0], 24), snapshot(whole[0], 15))


def digest_without(task: TrainingTask, field: str) -> str:
    content = task.model_dump(mode="json", exclude={"training": {"micro_batch_size", field}})
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_tasks_that_are_older_than_the_setting_keep_their_digest() -> None:
    assert make_task().digest == make_task(state="exact").digest == digest_without(make_task(), "state")
    assert TASK.digest != make_task().digest
