"""Processes that compute side by side, and end with the one that started them, however that ends.

A benchmark that was killed is started again at once: what an orphan went on training would be trained twice over.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait


def processes(jobs: int, *, tasks_each: int | None = None) -> ProcessPoolExecutor:
    """A pool of spawned processes, as a context.

    Args:
        jobs: Processes at a time.
        tasks_each: After so many tasks a process gives way to a new one; None: it stays.
    """
    spawned = get_context("spawn")
    return ProcessPoolExecutor(jobs, spawned, initializer=_end_with_parent, max_tasks_per_child=tasks_each)


def _end_with_parent() -> None:
    threading.Thread(target=_watch, daemon=True, name="lifeline").start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
