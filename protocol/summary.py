"""The state of a run in a few counts, so that a volunteer need not read the record of every task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import Field

from paris.protocol.lanes import lane_of
from paris.protocol.limits import MAX_LANES
from paris.protocol.payload import Payload
from paris.protocol.run_records import Task

Count = Annotated[int, Field(ge=0, le=10**6)]


class Summary(Payload):
    """How many tasks of experts a run has, by state. Of lanes each counts."""

    kind: ClassVar[str] = "summary"
    num_open: Count
    num_leased: Count
    num_submitted: Count
    num_registered: Count
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)]
    """Trainings of an expert side by side; 1: there are no lanes."""

    def is_complete(self, num_experts: int) -> bool:
        """Whether every expert of a run with so many is registered."""
        return self.num_registered >= num_experts and not (self.num_open or self.num_leased or self.num_submitted)

    @property
    def num_tasks(self) -> int:
        """All of them."""
        return self.num_open + self.num_leased + self.num_submitted + self.num_registered


def summarise(tasks: Iterable[Task]) -> Summary:
    """Count the tasks of experts.

    Args:
        tasks: One record of each task of a run; the router's is left out.
    """
    experts = [task for task in tasks if task.task_id != "router"]
    states = Counter(task.state for task in experts)
    return Summary(
        num_open=states["open"],
        num_leased=states["leased"],
        num_submitted=states["submitted"],
        num_registered=states["registered"],
        lanes=1 + max((lane_of(task.task_id) for task in experts), default=0),
    )
