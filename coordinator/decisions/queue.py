"""The queue of those that wait for a task: its first who can do one is found without asking all. Pure, like `tick`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from paris.coordinator.decisions.sizes import keeps_size
from paris.coordinator.state.model import VolunteerState
from paris.protocol.run_records import Task
from paris.protocol.sizes import needs_of, sizes_of

IsGood = Callable[[Task, VolunteerState], bool]


class Queue:
    """Volunteers in the order of their turn.

    Tasks that ask for the same of a machine have the same volunteers that can do them: whoever was found unable for one
    is not asked again for the next.

    Args:
        candidates: The first one first.
        begun: The largest size that is worked on, by task id.
    """

    def __init__(self, candidates: Sequence[VolunteerState], begun: Mapping[str, int]) -> None:
        self._candidates, self._begun = candidates, begun
        self._waiting = {volunteer.public_key: volunteer for volunteer in candidates}
        self._able: dict[object, Iterator[VolunteerState]] = {}

    def __contains__(self, volunteer: VolunteerState | None) -> bool:
        return volunteer is not None and volunteer.public_key in self._waiting

    def waiting(self) -> list[VolunteerState]:
        """Those that are left."""
        return list(self._waiting.values())

    def take(self, task: Task, is_good: IsGood, first: VolunteerState | None) -> VolunteerState | None:
        """Take the first that can do a task out of the queue; None where nobody can.

        Args:
            task: The task.
            is_good: Whether a volunteer is good for a task: a function of what the task asks for, and of the machine.
            first: Whose turn it is, if this one waits and can.
        """
        if first is not None and first in self and self._can(task, is_good, first):
            return self._waiting.pop(first.public_key)
        needs = (needs_of(task, size) for size in range(1 + len(task.smaller or ())))
        asks = (is_good, self._begun.get(task.task_id), sizes_of(task), *needs)
        if asks not in self._able:
            self._able[asks] = (one for one in self._candidates if one in self and self._can(task, is_good, one))
        chosen = next(self._able[asks], None)
        return None if chosen is None else self._waiting.pop(chosen.public_key)

    def _can(self, task: Task, is_good: IsGood, volunteer: VolunteerState) -> bool:
        return is_good(task, volunteer) and keeps_size(task, volunteer, self._begun)
