"""Names of tasks: an expert's own, and those of its further lanes."""

from __future__ import annotations

import pytest

from paris.protocol.lanes import expert_of, lane_id, lane_of


@pytest.mark.parametrize(
    ("task_id", "expert", "lane"),
    [
        ("expert-3", "expert-3", 0),
        ("expert-3.1", "expert-3", 1),
        ("expert-12.9", "expert-12", 9),
        ("router", "router", 0),
    ],
)
def test_a_task_is_an_experts_and_of_one_lane(task_id: str, expert: str, lane: int):
    assert (expert_of(task_id), lane_of(task_id)) == (expert, lane)
    assert lane_id(expert, lane) == task_id
