"""Training while shards still arrive: from the first window on, whatever their order, stopped at any moment."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from tiny_training import Listener, Undisturbed, is_same, make_data, make_task, make_training, never, shard_path

from paris.experts.data.cluster import wait_for_shard
from paris.experts.data.shard_order import shard_order
from paris.experts.training.expert_training import ExpertTraining


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.run(folder, tmp_path_factory.mktemp("work"))


def test_training_starts_with_the_first_window_and_waits_for_the_rest(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    task, listener = make_task(), Listener()
    order = shard_order(task.seed, task.task_id, len(task.shard_rows), epoch=0)
    seen: list[int] = []

    def arrives(index: int) -> Path:
        seen.append(index)
        return shard_path(folder, index)

    finished = ExpertTraining(task, tmp_path, arrives, folder, report_every=1).run(listener.report, never)
    assert set(seen[:2]) == set(order[:2])
    assert set(seen[2:4]) == set(order[2:])
    assert is_same(finished, undisturbed)


def test_the_order_in_which_shards_arrive_changes_nothing(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    task = make_task()
    order = shard_order(task.seed, task.task_id, len(task.shard_rows), epoch=0)
    still_to_come = list(order)

    def last_of_all_arrives() -> bool:
        shutil.copy(shard_path(folder, still_to_come[-1]), tmp_path / str(still_to_come.pop()))
        return False

    training = ExpertTraining(
        task, tmp_path / "work", lambda index: wait_for_shard(tmp_path / str(index), last_of_all_arrives), folder
    )
    assert is_same(training.run(lambda _: None, never), undisturbed)
    assert still_to_come == []


def test_a_stop_while_waiting_for_a_shard_is_a_stop_and_no_error(folder: Path, tmp_path: Path) -> None:
    task, asked = make_task(), []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    training = ExpertTraining(task, tmp_path, lambda index: wait_for_shard(tmp_path / "never", should_stop), folder)
    finished = training.run(lambda _: None, should_stop)
    assert (finished.step, finished.is_complete, finished.final_loss) == (0, False, None)


def test_a_stop_while_waiting_for_a_later_shard_loses_no_step(
    folder: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    task, first_window = make_task(), make_task().training.window_shards
    order = shard_order(task.seed, task.task_id, len(task.shard_rows), epoch=0)
    steps_there = sum(task.shard_rows[index] for index in order[:first_window]) // task.training.batch_size
    asked, given_up = [], threading.Event()

    def should_stop() -> bool:
        asked.append(1)
        return given_up.is_set()

    def told_to_stop() -> bool:
        if len(asked) >= steps_there:
            given_up.set()
        return given_up.is_set()

    def path_of(index: int) -> Path:
        if index in order[:first_window]:
            return shard_path(folder, index)
        return wait_for_shard(tmp_path / "never", told_to_stop)

    stopped = ExpertTraining(task, tmp_path, path_of, folder).run(lambda _: None, should_stop)
    assert stopped.step == steps_there
    assert is_same(make_training(folder, tmp_path).run(lambda _: None, never), undisturbed)
