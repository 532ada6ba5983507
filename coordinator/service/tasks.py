"""`paris-coord publish-tasks`: opens the tasks in the coordinator's memory; `serve` does the rest."""

from __future__ import annotations

import time

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import initial_weights, require_current_warm_start
from paris.coordinator.run.prepared_data import load_manifests
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import TaskState
from paris.coordinator.state.store import Store
from paris.protocol.records import Task


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
            require_current_warm_start(run)
        store.save(old, new, [Event("opened", f"{added} tasks opened.")] if added else [], time.time())
        return len(new.tasks)
    finally:
        store.close()


def make_tasks(run: RunDir) -> list[TaskState]:
    """One open task an expert.

    Raises:
        NotReadyError: A cluster has no manifest, or what all experts start from is not made yet.
    """
    tasks, table = [], run.config.tasks
    start = initial_weights(run)
    for manifest in load_manifests(run):
        task = Task(
            task_id=f"expert-{manifest.cluster}",
            cluster=manifest.cluster,
            steps=table.steps,
            batch_size=int(run.config.expert_training["batch_size"]),
            manifest_sha256=manifest.sha256,
            data_bytes=manifest.num_bytes,
            min_memory_bytes=table.min_memory_bytes,
            min_disk_bytes=table.min_disk_bytes + manifest.num_bytes + (start.bytes if start else 0),
            deadline_s=table.deadline_s,
            grace_s=table.grace_s,
            objective=run.config.objectives.for_cluster(manifest.cluster),
            state="open",
        )
        tasks.append(TaskState(task=task))
    return tasks
