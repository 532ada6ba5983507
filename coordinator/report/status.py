"""`paris-coord status`: what the coordinator's memory says, as a table or as JSON. Reads only the state file."""

from __future__ import annotations

import time
from typing import Any

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State, TaskState
from paris.coordinator.state.store import Store

_WATCH_EVERY_S = 2.0


def read_status(run: RunDir) -> dict[str, Any]:
    """The run's present state as plain data.

    Returns:
        run_id, tasks, volunteers, submissions, router, complete; instants are UTC seconds.
    """
    store = Store(run.state_file)
    try:
        state = store.load()
    finally:
        store.close()
    return {
        "run_id": run.run_id,
        "complete": state.is_complete,
        "router": state.router.model_dump(),
        "tasks": [_task_status(state, task) for task in sorted(state.tasks.values(), key=lambda t: t.task.cluster)],
        "volunteers": [
            {
                "name": v.want.name,
                "public_key": v.public_key,
                "device": v.want.device,
                "state": v.want.state,
                "seen_at": v.seen_at,
                "accepted": v.num_accepted,
                "rejected": v.num_rejected,
                "revoked": v.num_revoked,
            }
            for v in state.volunteers.values()
        ],
        "submissions": [
            {
                "task_id": s.submission.task_id,
                "attempt": s.submission.attempt,
                "lease_id": s.submission.lease_id,
                "volunteer": s.submission.name,
                "pull_request": s.submission.pull_request,
                "phase": s.phase,
                "verdict": None if s.verdict is None else s.verdict.model_dump(mode="json"),
            }
            for s in state.submissions.values()
        ],
    }


def _task_status(state: State, task: TaskState) -> dict[str, Any]:
    held = state.leases.get(task.lease_id or "")
    beat = held.heartbeat if held is not None else None
    volunteer = state.volunteers.get(held.lease.volunteer) if held is not None else None
    registration = task.registration
    return {
        "task_id": task.task.task_id,
        "cluster": task.task.cluster,
        "state": task.task.state,
        "attempt": task.task.attempt,
        "steps": task.task.steps,
        "step": beat.step if beat is not None else (registration.steps if registration is not None else 0),
        "loss": beat.loss if beat is not None else None,
        "phase": beat.state if beat is not None else "",
        "heartbeat_at": held.heartbeat_at if held is not None else None,
        "volunteer": volunteer.want.name
        if volunteer is not None
        else (registration.volunteer_name if registration else ""),
        "sha256": registration.sha256 if registration is not None else None,
    }


def print_status(run: RunDir, *, watch: bool) -> None:
    """Show the state as a table; with `watch` again and again until interrupted or complete."""
    from rich.console import Console
    from rich.live import Live

    if not watch:
        Console().print(_table(read_status(run)))
        return
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            status = read_status(run)
            live.update(_table(status), refresh=True)
            if status["complete"]:
                return
            time.sleep(_WATCH_EVERY_S)


def _table(status: dict[str, Any]) -> Any:
    from rich.table import Table

    waiting = sum(v["state"] == "waiting" for v in status["volunteers"])
    caption = f"{len(status['volunteers'])} volunteers ({waiting} waiting), router: {status['router']['phase']}"
    table = Table(title=f"Run {status['run_id']}", caption=caption)
    for column in ("task", "state", "volunteer", "step", "loss", "last heartbeat"):
        table.add_column(column)
    now = time.time()
    for task in status["tasks"]:
        seen = task["heartbeat_at"]
        table.add_row(
            task["task_id"],
            task["state"] + (f" ({task['phase']})" if task["phase"] and task["state"] == "leased" else ""),
            task["volunteer"],
            f"{task['step']}/{task['steps']}",
            "" if task["loss"] is None else f"{task['loss']:.4f}",
            "" if seen is None else f"{now - seen:.0f} s ago",
        )
    return table
