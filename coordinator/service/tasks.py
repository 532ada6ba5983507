"""`paris-coord publish-tasks`: opens the run's tasks on disk; `serve` publishes them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from paris.coordinator.errors import RunDirError
from paris.coordinator.planning.needs import smaller_needs, task_needs
from paris.coordinator.planning.refusal import require_possible
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import initial_weights, require_current_warm_start
from paris.coordinator.run.prepared_data import load_manifests
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import TaskState
from paris.coordinator.state.reading import open_store
from paris.protocol.counted import counted
from paris.protocol.lanes import lane_id
from paris.protocol.run_records import Task
from paris.protocol.size_needs import SizeNeeds


@dataclass(frozen=True)
class TaskCounts:
    """How many tasks there are after `publish-tasks`."""

    num_tasks: int
    num_open: int
    num_registered: int

    def __str__(self) -> str:
        """In words, for people."""
        num_taken = self.num_tasks - self.num_open - self.num_registered
        taken = f"{num_taken} in work, " if num_taken else ""
        return f"{counted(self.num_tasks, 'task')}: {self.num_open} open, {taken}{self.num_registered} registered"


def open_tasks(run: RunDir, *, despite_plan: bool = False) -> TaskCounts:
    """Open one task an expert, or one a lane; open or leased tasks are left as they are.

    Args:
        run: A prepared run directory.
        despite_plan: Open tasks although the run's plan shows that a setting cannot work.

    Returns:
        How many tasks there are now, by state.

    Raises:
        RunDirError: Tasks were opened for other data than is prepared now, or for other sizes; nothing is changed.
        NotReadyError: The initial weights are missing, or of other data or settings; nothing is changed.
        PlanError: A setting cannot work; nothing is changed.
    """
    run.require_prepared()
    store = open_store(run)
    try:
        old, tasks = store.load(), make_tasks(run)
        require_same_sizes(run, old.tasks.values())
        for task in tasks:
            _require_same_data(run, task, old.tasks.get(task.task.task_id))
        added = {task.task.task_id: task for task in tasks if task.task.task_id not in old.tasks}
        new = replace(old, tasks={**old.tasks, **added})
        if added and not despite_plan:
            require_possible(run)
        if added:
            require_current_warm_start(run)
        events = [Event(EventKind.OPENED, f"{counted(len(added), 'task')} opened.")] if added else []
        store.save(old, new, events, time.time())
        counts = Counter(task.task.state for task in new.tasks.values())
        return TaskCounts(len(new.tasks), counts["open"], counts["registered"])
    finally:
        store.close()


def require_same_sizes(run: RunDir, tasks: Iterable[TaskState]) -> None:
    """Check that the tasks were opened for as many smaller sizes as run.toml has.

    Raises:
        RunDirError: They were not; nothing is changed.
    """
    now = len(run.config.model.smaller)
    for state in tasks:
        opened = len(state.task.smaller or ())
        if opened != now:
            raise RunDirError(
                f"{state.task.task_id} was opened for {opened} of [[model.smaller]], run.toml has {now}.",
                "Restore run.toml, or make a new run: paris-coord init.",
            )


def _require_same_data(run: RunDir, made: TaskState, opened: TaskState | None) -> None:
    if opened is not None and opened.task.manifest_sha256 != made.task.manifest_sha256:
        raise RunDirError(
            f"{made.task.task_id} was opened for other data than {run.data} holds now.",
            "Make a new run for new data: paris-coord init.",
        )


def make_tasks(run: RunDir) -> list[TaskState]:
    """One open task an expert, or one a lane.

    Raises:
        NotReadyError: A cluster has no manifest, or the initial weights are missing.
        ExpertError: The model's settings are invalid.
    """
    tasks, table = [], run.config.tasks
    start = initial_weights(run)
    needed, smaller = task_needs(run), smaller_needs(run)
    for manifest in load_manifests(run):
        task = Task(
            task_id=f"expert-{manifest.cluster}",
            cluster=manifest.cluster,
            steps=table.steps,
            batch_size=int(run.config.expert_training["batch_size"]),
            manifest_sha256=manifest.sha256,
            data_bytes=manifest.num_bytes,
            min_memory_bytes=needed.memory_bytes,
            min_disk_bytes=needed.disk_bytes + manifest.num_bytes + (start.bytes if start else 0),
            deadline_s=table.deadline_s,
            grace_s=table.grace_s,
            objective=run.config.objectives.for_cluster(manifest.cluster),
            state="open",
            smaller=tuple(
                SizeNeeds(min_memory_bytes=size.memory_bytes, min_disk_bytes=size.disk_bytes + manifest.num_bytes)
                for size in smaller
            )
            or None,
        )
        lanes = (lane_id(task.task_id, lane) for lane in range(table.lanes))
        tasks += [TaskState(task=task.model_copy(update={"task_id": task_id})) for task_id in lanes]
    return tasks
