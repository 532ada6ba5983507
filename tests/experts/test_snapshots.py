from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_checkpoint import largest_file

from paris.experts.errors import SnapshotError
from paris.experts.files import DiskFullError
from paris.experts.training.commitments import FILES, NO_COMMITMENT, SnapshotState
from paris.experts.training.snapshots import SnapshotStore
from paris.experts.weights.checkpoint import specs_of

TASK = "a" * 64


def tensors_at(step: int, size: int = 3) -> dict[str, dict[str, torch.Tensor]]:
    return {name: {"w": torch.full((size,), float(step + index))} for index, name in enumerate(FILES)}


def make_store(folder: Path, task: str = TASK) -> SnapshotStore:
    return SnapshotStore(folder, task, {name: specs_of(tensors) for name, tensors in tensors_at(0).items()})


def save_scheduled(store: SnapshotStore, steps: list[int]) -> SnapshotState:
    last = None
    for step in steps:
        last = store.save(step, 0.5, tensors_at(step), last, scheduled=True)
    assert last
    return last


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_snapshot_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert store.latest() is None
    last = save_scheduled(store, [5, 10, 15])
    assert names(tmp_path) == ["step-00000010", "step-00000015"]
    assert names(tmp_path / "step-00000015") == [
        "ema.safetensors",
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]
    snapshot = make_store(tmp_path).latest()
    assert snapshot
    assert snapshot.state == last
    assert torch.equal(dict(snapshot.tensors("ema"))["w"], tensors_at(15)["ema"]["w"])


@pytest.fixture
def earlier_objects_left_out() -> Iterator[None]:
    """Looking through the objects of all tests before this one takes seconds, each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live_bytes() -> int:
    """Of plain tensors: compilations of other tests leave tensors of unknown size behind."""
    gc.collect()
    return sum(found.nbytes for found in gc.get_objects() if type(found) in (torch.Tensor, torch.nn.Parameter))


@pytest.mark.usefixtures("earlier_objects_left_out")
def test_a_snapshot_is_read_one_tensor_at_a_time_and_leaves_nothing_in_memory(tmp_path: Path) -> None:
    one, count = 400_000, 6
    before = live_bytes()
    values = {name: {f"w{i}": torch.full((one // 4,), 1.0 + i) for i in range(count)} for name in FILES}
    store = SnapshotStore(tmp_path, TASK, {name: specs_of(tensors) for name, tensors in values.items()})
    store.save(5, 0.5, values, None, scheduled=True)
    del values
    snapshot = store.latest()
    assert snapshot
    assert live_bytes() - before < one
    for name in FILES:
        read = 0
        for _, tensor in snapshot.tensors(name):
            assert tensor.nbytes == one
            assert live_bytes() - before < 3 * one
            read += 1
        assert read == count
    del tensor
    assert live_bytes() - before < one


def test_a_commitment_is_the_digest_of_the_one_before_the_task_the_step_and_the_files(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    first = store.save(5, 0.5, tensors_at(5), None, scheduled=True)
    second = store.save(10, 0.4, tensors_at(10), first, scheduled=True)
    for state, before in ((first, NO_COMMITMENT), (second, first.commitment)):
        folder = tmp_path / f"step-{state.step:08d}"
        digests = [hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest() for name in FILES]
        text = f"{before}\n{TASK}\n{state.step}\nweights {digests[0]}\nema {digests[1]}\noptimizer {digests[2]}"
        assert state.commitment == hashlib.sha256(text.encode()).hexdigest()
        assert (state.previous, state.commitment_step) == (before, state.step)


def test_a_pause_carries_the_chain_on_without_a_link_of_its_own(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    first = save_scheduled(store, [5])
    pause = store.save(7, 0.5, tensors_at(7), first, scheduled=False)
    assert (pause.commitment, pause.commitment_step) == (first.commitment, 5)
    resumed = make_store(tmp_path).latest()
    assert resumed
    assert resumed.state == pause
    undisturbed = make_store(tmp_path / "other").save(10, 0.5, tensors_at(10), first, scheduled=True)
    assert store.save(10, 0.5, tensors_at(10), pause, scheduled=True).commitment == undisturbed.commitment
    assert names(tmp_path) == ["other", "step-00000005", "step-00000010"]


def test_a_pause_before_the_first_link_is_resumable(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    pause = store.save(3, 0.5, tensors_at(3), None, scheduled=False)
    assert (pause.commitment, pause.commitment_step) == (NO_COMMITMENT, 0)
    snapshot = make_store(tmp_path).latest()
    assert snapshot
    assert snapshot.state.step == 3


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def edit_step(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "step": 11}))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("ema.safetensors", flip_last_byte),
        ("optimizer.safetensors", Path.unlink),
        ("state.json", lambda path: path.write_text("{")),
        ("state.json", lambda path: path.write_bytes(b"")),
        ("state.json", edit_step),
        ("state.json", Path.unlink),
    ],
)
def test_a_damaged_newest_snapshot_is_removed_with_a_note_and_the_one_before_is_used(
    tmp_path: Path, file: str, damage
) -> None:
    save_scheduled(make_store(tmp_path), [5, 10])
    damage(tmp_path / "step-00000010" / file)
    store = make_store(tmp_path)
    snapshot = store.latest()
    assert snapshot
    assert snapshot.state.step == 5
    assert len(store.notes) == 1
    assert store.notes[0].startswith("Snapshot step-00000010 is damaged and was removed, the one before is used:")
    assert names(tmp_path) == ["step-00000005"]


def test_a_snapshot_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    save_scheduled(make_store(tmp_path), [5, 10])
    path = tmp_path / "step-00000010" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3, "new": True}))
    with pytest.raises(SnapshotError, match="newer version"):
        make_store(tmp_path).latest()
    assert names(tmp_path) == ["step-00000005", "step-00000010"]


def test_a_snapshot_that_names_no_format_is_one_of_the_first(tmp_path: Path) -> None:
    save_scheduled(make_store(tmp_path), [5])
    path = tmp_path / "step-00000005" / "state.json"
    state = json.loads(path.read_text())
    assert state.pop("format") == 1
    path.write_text(json.dumps(state))
    snapshot = make_store(tmp_path).latest()
    assert snapshot
    assert snapshot.state.step == 5


def test_weights_that_are_not_finite_are_no_snapshot(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    last = save_scheduled(store, [5])
    store.save(10, 0.5, {**tensors_at(10), "weights": {"w": torch.full((3,), torch.nan)}}, last, scheduled=True)
    snapshot = store.latest()
    assert snapshot
    assert snapshot.state.step == 5


def test_snapshots_of_another_task_are_refused_and_left_alone(tmp_path: Path) -> None:
    save_scheduled(make_store(tmp_path), [5])
    with pytest.raises(SnapshotError, match="of another task"):
        make_store(tmp_path, task="b" * 64).latest()
    assert names(tmp_path) == ["step-00000005"]


def test_a_full_disk_leaves_the_earlier_snapshots_and_no_half_of_one(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    last = save_scheduled(store, [5, 10])
    with largest_file(4096), pytest.raises(DiskFullError, match="No space left"):
        store.save(15, 0.5, tensors_at(15, size=10_000), last, scheduled=True)
    assert names(tmp_path) == ["step-00000005", "step-00000010"]
    snapshot = store.latest()
    assert snapshot
    assert snapshot.state.step == 10
    assert store.notes == []


def test_what_an_interrupted_save_left_behind_is_swept_and_never_read(tmp_path: Path) -> None:
    save_scheduled(make_store(tmp_path), [5])
    (tmp_path / ".part-00000010").mkdir()
    (tmp_path / ".part-00000010" / "weights.safetensors").write_bytes(b"half")
    snapshot = make_store(tmp_path).latest()
    assert snapshot
    assert snapshot.state.step == 5
    assert names(tmp_path) == ["step-00000005"]
