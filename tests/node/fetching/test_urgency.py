"""Which shards are needed soon, by the rows that the trainer has seen."""

from __future__ import annotations

import pytest

from paris.experts.data.order import RowOrder
from paris.experts.data.shard_order import shard_order
from paris.node.fetching.urgency import Urgency


@pytest.mark.parametrize(
    ("step", "num_urgent"), [(0, 2), (4, 2), (5, 4), (9, 4), (10, 4), (14, 4), (15, 5), (20, 5), (24, 5), (10**9, 5)]
)
def test_the_next_window_is_needed_from_the_middle_of_the_present_one_on(step, num_urgent):
    urgency = Urgency([10, 10, 10, 10, 10], window_shards=2, batch_size=2)
    urgency.step = step
    assert urgency.num_urgent() == num_urgent


def test_before_the_first_step_the_first_window_alone_is_urgent():
    assert Urgency([1, 1], window_shards=1, batch_size=1).num_urgent() == 1


def test_windows_count_by_their_rows():
    urgency = Urgency([100, 4, 4], window_shards=1, batch_size=1)
    for step, num_urgent in [(49, 1), (50, 2), (101, 2), (102, 3)]:
        urgency.step = step
        assert urgency.num_urgent() == num_urgent


def test_whatever_a_batch_of_the_first_epoch_urgency_was_urgent_before():
    rows = [7, 5, 6, 9, 4, 8, 3]
    order = RowOrder(3, "expert-0", rows, window_shards=2)
    first = shard_order(3, "expert-0", len(rows), epoch=0)
    urgency = Urgency([rows[shard] for shard in first], window_shards=2, batch_size=4)
    for step in range(sum(rows) // 4):
        urgency.step = step
        assert {shard for shard, _ in order.batch(step, 4)} <= set(first[: urgency.num_urgent()])
