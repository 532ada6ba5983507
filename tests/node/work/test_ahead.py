"""The next leg is trained while one is uploaded and judged: its snapshots are those of a training without a break."""

from __future__ import annotations

import contextlib
import json
import queue
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from legs import make_head, make_leg, write_snapshots
from mini_coordinator import MODEL, SHARD_ROWS, TRAINING, write_cluster

from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.training.commitments import SnapshotState, read_state, scheduled_folder
from paris.experts.training.config import Finished
from paris.node.control.wishes import Wishes
from paris.node.errors import TrainerError
from paris.node.fetching.cache import Cache
from paris.node.machine.garbage import free_accepted_unit, free_ended_units
from paris.node.machine.home import Home
from paris.node.machine.unit import Unit, UnitFolder
from paris.node.retry import StopSignal
from paris.node.trainer.order import Order, ShardFile
from paris.node.trainer.task import make_training
from paris.node.work.ahead import AheadTraining, may_train_ahead, order_ahead, take_over
from paris.node.work.hand_in import finished_leg
from paris.protocol.errors import ParisError
from paris.protocol.run_records import Shard
from paris.protocol.size_needs import SizeNeeds


def make_order(data: Path, work: Path, training: dict, **leg) -> Order:
    """For a task of 40 steps with a snapshot every 10."""
    paths = [data / "shards" / "cluster-000" / f"shard-{index:05d}.parquet" for index in range(len(SHARD_ROWS))]
    return Order(
        run_id="tiny-0123456789abcdef",
        task_id="expert-0",
        seed=3,
        steps=40,
        batch_size=4,
        model=MODEL,
        training=training,
        text={"kind": "vocabulary", "dim": 8, "max_tokens": 4},
        codec={"kind": "pixels"},
        shards=tuple(ShardFile(path=str(path), rows=n) for path, n in zip(paths, SHARD_ROWS, strict=True)),
        text_folder=str(data),
        work=str(work),
        leg=leg or None,
        device="cpu",
        threads=1,
    )


def train(order: Order) -> Finished:
    """In this process."""
    return make_training(json.loads(order.model_dump_json()), "cpu", lambda: False).run(lambda _: None, lambda: False)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cluster(folder, 0)
    write_vocabulary(folder / "vocab.json", ["cat", "red"])
    return folder


def started(order: Order, folder: UnitFolder, wishes: Wishes | None = None) -> tuple[AheadTraining, queue.Queue]:
    """A training ahead, and what gets its end."""
    ended: queue.Queue[ParisError | None] = queue.Queue()
    wishes = wishes or Wishes(StopSignal())
    ahead = AheadTraining(order, folder.log, wishes, contextlib.nullcontext, ended.put)
    ahead.start()
    return ahead, ended


@pytest.mark.slow
@pytest.mark.parametrize("stops", [False, True], ids=["to-its-end", "stopped"])
def test_a_leg_that_was_trained_ahead_has_the_bits_of_one_that_was_not(data, tmp_path, stops):
    training = {**TRAINING, "state": "compact"}
    undisturbed = train(make_order(data, tmp_path / "whole", training))
    folder, unit = make_leg(tmp_path / "first", 0, 20)
    first = make_order(data, folder.work, training, until_step=20)
    train(first)
    unit = folder.advance(unit, "uploading", finished=finished_leg(unit, folder))

    ahead, ended = started(order_ahead(first, unit, folder, 20), folder)
    error = None if stops else ended.get(timeout=DEADLINE_S)
    ahead.stop()
    assert error is None

    head = make_head(read_state(scheduled_folder(folder.snapshots, 20)))
    then, next_unit = make_leg(tmp_path / "second", 20, 40, head, attempt=2)
    step = take_over(next_unit, then, [folder])
    assert 20 < step <= 40
    assert stops or step == 40
    state = read_state(scheduled_folder(then.snapshots, 20))
    fields = state.model_dump(mode="json", include={"step", "loss", "previous", "commitment", "files"})
    last = train(make_order(data, then.work, training, until_step=40, head=fields))
    assert (last.weights_sha256, last.commitment) == (undisturbed.weights_sha256, undisturbed.commitment)


def ended_leg(path: Path, *steps: int) -> tuple[UnitFolder, Unit, list[SnapshotState]]:
    """A finished leg up to step 10, and snapshots that were trained ahead of it."""
    folder, unit = make_leg(path, 0, 10)
    (state,) = write_snapshots(folder, 10)
    unit = folder.advance(unit, "uploading", finished=finished_leg(unit, folder))
    ahead = UnitFolder(path / "moved")
    states = write_snapshots(ahead, 10, *steps)
    ahead.snapshots.parent.replace(folder.ahead)
    return folder, unit, [state, *states[1:]]


def test_the_next_unit_takes_over_what_it_has_a_lease_for(tmp_path):
    before, _, states = ended_leg(tmp_path / "first", 20, 30)
    (before.ahead / "snapshots" / ".part-00000031").mkdir()
    (before.ahead / "micro_batch.json").write_text("{}")
    folder, unit = make_leg(tmp_path / "second", 10, 20, make_head(states[0]), attempt=2)
    assert take_over(unit, folder, [before]) == 20
    assert sorted(path.name for path in folder.snapshots.iterdir()) == ["step-00000010", "step-00000020"]
    assert (folder.work / "micro_batch.json").is_file()
    assert take_over(unit, folder, [before]) is None
    assert finished_leg(unit, folder).commitment == states[1].commitment


def test_what_follows_from_another_state_is_not_taken_over(tmp_path):
    before, _, states = ended_leg(tmp_path / "first", 20)
    other = make_head(states[0]).model_copy(update={"commitment": "f" * 64})
    folder, unit = make_leg(tmp_path / "second", 10, 20, other, attempt=2)
    assert take_over(unit, folder, [before]) is None
    assert not folder.snapshots.exists()


def test_what_was_trained_ahead_stays_until_the_next_lease_shows_whether_it_is_of_use(tmp_path):
    home = Home(tmp_path)
    path = home.unit_folder("tiny-0123456789abcdef", "expert-0", 1).path
    folder, unit, _ = ended_leg(path, 20)
    unit = folder.advance(unit, "awaiting-verdict")
    unit = folder.advance(unit, "done")
    free_accepted_unit(folder, unit)
    assert (folder.ahead / "snapshots" / "step-00000020").is_dir()
    same = unit.lease.model_copy(update={"start_step": 10})
    free_ended_units(home, unit.run_id, same)
    assert (folder.ahead / "snapshots" / "step-00000020").is_dir()
    free_ended_units(home, unit.run_id, same.model_copy(update={"task_id": "expert-1"}))
    assert not folder.ahead.exists()


def test_nothing_is_trained_ahead_without_a_next_leg_its_data_or_room(tmp_path):
    folder, unit, _ = ended_leg(tmp_path / "first")
    cache = Cache(tmp_path / "cache")
    shard = Shard(path="a.parquet", sha256="a" * 64, bytes=1, rows=1)
    unit = unit.model_copy(update={"shards": (shard,)})
    assert not may_train_ahead(unit, folder, cache), "the shard is not here"
    cache.file(shard.sha256).parent.mkdir(parents=True, exist_ok=True)
    cache.file(shard.sha256).write_bytes(b"1")
    assert may_train_ahead(unit, folder, cache)

    def with_task(**changes) -> Unit:
        return unit.model_copy(update={"task": unit.task.model_copy(update=changes)})

    assert not may_train_ahead(with_task(steps=10), folder, cache), "it was the last leg"
    assert not may_train_ahead(with_task(min_disk_bytes=2**50), folder, cache)
    small = unit.lease.model_copy(update={"size": 1})
    needs = (SizeNeeds(min_memory_bytes=0, min_disk_bytes=0),)
    sized = with_task(min_disk_bytes=2**50, smaller=needs).model_copy(update={"lease": small})
    assert may_train_ahead(sized, folder, cache), "the smaller expert has room"
    assert not may_train_ahead(unit.model_copy(update={"finished": None}), folder, cache)
    whole = unit.lease.model_copy(update={"start_step": None, "to_step": None})
    assert not may_train_ahead(unit.model_copy(update={"lease": whole}), folder, cache)


def test_it_ends_when_the_node_is_to_finish(tmp_path):
    folder, unit, _ = ended_leg(tmp_path / "first")
    wishes = Wishes(StopSignal())
    wishes.pause()
    no_data = make_order(tmp_path, folder.work, TRAINING)
    ahead, ended = started(order_ahead(no_data, unit, folder, 10), folder, wishes)
    wishes.finish()
    assert ended.get(timeout=DEADLINE_S) is None
    ahead.stop()


def test_a_pause_that_the_volunteer_asked_for_holds_here_too(tmp_path):
    folder, unit, _ = ended_leg(tmp_path / "first")
    wishes = Wishes(StopSignal())
    wishes.pause()
    no_data = make_order(tmp_path, folder.work, TRAINING)
    ahead, ended = started(order_ahead(no_data, unit, folder, 10), folder, wishes)
    ahead.stop()
    assert ended.get(timeout=DEADLINE_S) is None
    assert not folder.log.exists(), "no trainer was started"


@pytest.mark.slow
def test_an_error_while_training_ahead_is_told_and_leaves_the_leg_alone(data, tmp_path):
    folder, unit, _ = ended_leg(tmp_path / "first")
    order = make_order(data, folder.work, {**TRAINING, "snapshot_every": 7})  # a leg cannot end at step 20
    ahead, ended = started(order_ahead(order, unit, folder, 10), folder)
    assert isinstance(ended.get(timeout=DEADLINE_S), TrainerError)
    ahead.stop()
    assert finished_leg(unit, folder) == unit.finished
