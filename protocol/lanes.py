"""Ids of lanes: trainings of one expert side by side, each with tasks, leases and legs of its own.

"expert-3" is the task of expert 3 and its lane 0; "expert-3.1" is its lane 1.
"""

from __future__ import annotations


def lane_id(expert: str, lane: int) -> str:
    """The task of a lane.

    Args:
        expert: The expert's own task, such as "expert-3".
        lane: Its number.
    """
    return expert if lane == 0 else f"{expert}.{lane}"


def expert_of(task_id: str) -> str:
    """The expert's own task, of the task of any of its lanes."""
    return task_id.partition(".")[0]


def lane_of(task_id: str) -> int:
    """The number of a task's lane; 0 for an expert's own task."""
    return int(task_id.partition(".")[2] or 0)
