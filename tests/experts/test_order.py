from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paris.experts.data.order import RowOrder
from paris.experts.data.shard_order import shard_order
from paris.experts.errors import TrainingError
from paris.experts.seeding import generator_for

SHARDS = st.lists(st.integers(1, 9), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), shard_rows=SHARDS, window=st.integers(1, 8), batch_size=st.integers(1, 25))
def test_every_epoch_has_every_row_exactly_once(seed: int, shard_rows: list[int], window: int, batch_size: int) -> None:
    order = RowOrder(seed, "expert-0", shard_rows, window)
    total = sum(shard_rows)
    num_batches = -(-3 * total // batch_size)
    stream = [row for step in range(num_batches) for row in order.batch(step, batch_size)]
    every = sorted((shard, row) for shard, count in enumerate(shard_rows) for row in range(count))
    for epoch in range(3):
        assert sorted(stream[epoch * total : (epoch + 1) * total]) == every


@settings(max_examples=40, deadline=None)
@given(shard_rows=SHARDS, window=st.integers(1, 8), steps=st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_a_batch_does_not_depend_on_what_was_asked_before(shard_rows: list[int], window: int, steps: list[int]) -> None:
    used = RowOrder(3, "expert-0", shard_rows, window)
    for step in steps:
        assert used.batch(step, 5) == RowOrder(3, "expert-0", shard_rows, window).batch(step, 5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), shard_rows=SHARDS, window=st.integers(1, 8))
def test_shards_are_needed_a_window_at_a_time_in_the_order_that_is_told(
    seed: int, shard_rows: list[int], window: int
) -> None:
    order = RowOrder(seed, "expert-0", shard_rows, window)
    first = shard_order(seed, "expert-0", len(shard_rows), epoch=0)
    assert sorted(first) == list(range(len(shard_rows)))
    stream = [order.batch(step, 1)[0][0] for step in range(sum(shard_rows))]
    for begin in range(0, len(first), window):
        part = first[begin : begin + window]
        count = sum(shard_rows[shard] for shard in part)
        assert set(stream[:count]) == set(part)
        stream = stream[count:]


def test_seed_task_and_epoch_each_change_the_order() -> None:
    def epoch(seed: int, task: str, number: int) -> list[tuple[int, int]]:
        order = RowOrder(seed, task, [10, 10, 10], 2)
        return [row for step in range(3) for row in order.batch(3 * number + step, 10)]

    variants = [epoch(0, "expert-0", 0), epoch(1, "expert-0", 0), epoch(0, "expert-1", 0), epoch(0, "expert-0", 1)]
    assert len({tuple(variant) for variant in variants}) == 4


def test_the_order_is_the_same_on_every_machine_and_in_every_version() -> None:
    batch = RowOrder(5, "expert-2", [4, 9, 6], 2).batch(11, 8)
    assert batch == [
        (1, 6),
        (1, 7),
        (1, 4),
        (1, 1),
        (1, 0),
        (1, 8),
        (1, 5),
        (2, 4),
    ]


@pytest.mark.parametrize("shard_rows", [[], [3, 0]])
def test_a_task_without_rows_is_refused(shard_rows: list[int]) -> None:
    with pytest.raises(TrainingError, match="expert-0 has no rows"):
        RowOrder(0, "expert-0", shard_rows, 2)


@pytest.mark.parametrize("num_shards", [1, 2, 7, 1000])
def test_the_order_without_torch_is_the_one_that_torch_draws(num_shards: int) -> None:
    for seed in (0, 3, 2**32 - 1):
        for name, epoch in (("expert-0", 0), ("expert-12.3", 5)):
            generator = generator_for(seed, "order", name, "shards", epoch)
            assert (
                shard_order(seed, name, num_shards, epoch) == torch.randperm(num_shards, generator=generator).tolist()
            )
