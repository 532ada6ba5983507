"""`paris-coord publish-tasks`: opens the tasks in the coordinator's memory; `serve` does the rest."""

from __future__ import annotations

import time

from paris.coordinator.errors import RunDirError
from paris.coordinator.initial_weights import require_present_start
from paris.coordinator.observations import Event
from paris.coordinator.rundir import RunDir
from paris.coordinator.spec import make_tasks
from paris.coordinator.store import Store


def open_tasks(run: RunDir) -> int:
    """Open one task an expert; tasks that stand already are left as they are.

    Args:
        run: A prepared run directory.

    Returns:
        How many tasks there are now.

    Raises:
        RunDirError: The prepared data is not what the standing tasks were made from; nothing is changed.
        NotReadyError: What all experts start from is not made yet, or of other data or settings; nothing is changed.
    """
    run.require_prepared()
    store = Store(run.state_file)
    try:
        old = store.load()
        new = old
        for task in make_tasks(run):
            standing = old.tasks.get(task.task.task_id)
            if standing is None:
                new = new.with_task(task)
            elif standing.task.manifest_sha256 != task.task.manifest_sha256:
                raise RunDirError(
                    f"{task.task.task_id} was opened for other data than {run.data} holds now.",
                    "Make a new run for new data: paris-coord init.",
                )
        added = len(new.tasks) - len(old.tasks)
        if added:
            require_present_start(run)
        store.save(old, new, [Event("opened", f"{added} tasks opened.")] if added else [], time.time())
        return len(new.tasks)
    finally:
        store.close()
