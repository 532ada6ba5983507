"""Sizes of experts in records: what of a run and of a task belongs to each."""

from __future__ import annotations

import pytest
from protocol_samples import HEAD, RUN, TASK

from paris.protocol.errors import RecordError
from paris.protocol.run_records import Task
from paris.protocol.size_needs import SizeNeeds
from paris.protocol.sizes import needs_of, of_size, sizes_of

NEEDS = (SizeNeeds(min_memory_bytes=20, min_disk_bytes=2), SizeNeeds(min_memory_bytes=10, min_disk_bytes=1))
SIZED_RUN = RUN.model_copy(update={"smaller": ({"preset": "dit-s-2"}, {"num_layers": 1})})
SIZED_TASK = TASK.model_copy(update={"smaller": NEEDS, "min_memory_bytes": 30, "min_disk_bytes": 3, "head": None})


@pytest.mark.parametrize("size", [None, 0])
def test_the_runs_model_is_no_size_in_records(size: int | None):
    assert of_size(SIZED_RUN, size) is SIZED_RUN
    assert needs_of(SIZED_TASK, size) == SizeNeeds(min_memory_bytes=30, min_disk_bytes=3)


def test_a_smaller_size_changes_what_it_names_in_the_model_and_nothing_else():
    for size, changed in ((1, {"preset": "dit-s-2"}), (2, {"num_layers": 1})):
        sized = of_size(SIZED_RUN, size)
        assert sized.model == RUN.model | changed
        assert sized.model_copy(update={"model": RUN.model}) == SIZED_RUN
        assert needs_of(SIZED_TASK, size) == NEEDS[size - 1]


@pytest.mark.parametrize(("run", "size", "known"), [(RUN, 1, 0), (SIZED_RUN, 3, 2)])
def test_a_size_that_a_run_has_not_is_refused_by_both_numbers(run, size: int, known: int):
    with pytest.raises(RecordError, match=f"names size {size}, the run has {known} smaller sizes"):
        of_size(run, size)


def test_a_task_says_nothing_of_sizes_that_it_has_not():
    assert needs_of(SIZED_TASK, 3) is None
    assert needs_of(SIZED_TASK.model_copy(update={"smaller": None}), 1) is None


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, [0, 1, 2]),
        ({"smaller": None}, [0]),
        ({"head": HEAD}, [0]),
        ({"head": HEAD.model_copy(update={"size": 2})}, [2]),
        ({"head": HEAD.model_copy(update={"size": 1}), "smaller": None}, [1]),
    ],
)
def test_an_expert_keeps_the_size_of_its_first_stored_leg(changes: dict[str, object], sizes: list[int]):
    task: Task = SIZED_TASK.model_copy(update=changes)
    assert list(sizes_of(task)) == sizes
