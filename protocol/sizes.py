"""Sizes of experts: the run's model, and smaller ones for machines that cannot hold it.

Size 0 is the run's model, size n the n-th of the smaller ones. In records the run's model is None.
"""

from __future__ import annotations

from paris.protocol.errors import RecordError
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.size_needs import SizeNeeds


def of_size(spec: RunSpec, size: int | None) -> RunSpec:
    """The run's description as it is for an expert of a size: with that size's model.

    Args:
        spec: The run.
        size: Of a lease, a head or a registration.

    Raises:
        RecordError: The run has no such size.
    """
    if not size:
        return spec
    smaller = spec.smaller or ()
    if size > len(smaller):
        raise RecordError(f"The record names size {size}, the run has {len(smaller)} smaller sizes.")
    return spec.model_copy(update={"model": {**spec.model, **smaller[size - 1]}})


def needs_of(task: Task, size: int | None) -> SizeNeeds | None:
    """Memory and disk that a task's expert needs in a size; None where the task has no such size."""
    if not size:
        return SizeNeeds(min_memory_bytes=task.min_memory_bytes, min_disk_bytes=task.min_disk_bytes)
    smaller = task.smaller or ()
    return smaller[size - 1] if size <= len(smaller) else None


def sizes_of(task: Task) -> range:
    """The sizes that a task's expert may still have, the largest first. A stored leg decides it."""
    if task.head is None:
        return range(1 + len(task.smaller or ()))
    size = task.head.size or 0
    return range(size, size + 1)
