from __future__ import annotations

import threading

import pytest
import torch
from deadlines import DEADLINE_S

from paris.experts.errors import ShardError
from paris.experts.training.batches import Batch
from paris.experts.training.loader import Loader

CPU = torch.device("cpu")


def make_batch(step: int) -> Batch:
    x0 = torch.full((2, 1, 2, 2), float(step))
    return Batch(x0, x0 + 1, torch.rand(2), torch.zeros(2, 3, 4), None)


def number_of(batch: Batch) -> int:
    return int(batch.x0.max())


def test_batches_come_in_the_order_of_their_steps_to_the_last() -> None:
    with Loader(make_batch, 5, 12, 3, CPU) as loader:
        assert [number_of(loader.next()) for _ in range(7)] == list(range(5, 12))


def test_the_next_batches_are_prepared_before_they_are_asked_for_but_not_more() -> None:
    asked: list[int] = []
    third = threading.Event()

    def batch(step: int) -> Batch:
        asked.append(step)
        if step == 2:
            third.set()
        return make_batch(step)

    with Loader(batch, 0, 100, 2, CPU) as loader:
        assert third.wait(DEADLINE_S)  # two are ready, the third waits for room
        assert asked == [0, 1, 2]
        assert number_of(loader.next()) == 0


def test_an_error_comes_with_the_batch_that_it_belongs_to() -> None:
    def batch(step: int) -> Batch:
        if step == 2:
            raise ShardError("shard 7 is damaged")
        return make_batch(step)

    with Loader(batch, 0, 100, 4, CPU) as loader:
        assert [number_of(loader.next()) for _ in range(2)] == [0, 1]
        with pytest.raises(ShardError, match="shard 7"):
            loader.next()


def test_leaving_ends_the_background_work_even_when_nobody_took_a_batch() -> None:
    loader = Loader(make_batch, 0, 10**9, 1, CPU)
    with loader:
        pass
    loader._thread.join(DEADLINE_S)
    assert not loader._thread.is_alive()
