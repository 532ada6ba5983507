"""`paris-coord status`: the coordinator's state, as a table or as JSON. Reads only the state file."""

from __future__ import annotations

import time
from typing import Any

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.boards import board_row, num_others, shown_tasks
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState, VolunteerState
from paris.coordinator.state.reading import read_state
from paris.protocol.counted import counted
from paris.protocol.printable import printable
from paris.protocol.run_records import Registration

_WATCH_EVERY_S = 2.0


def read_status(run: RunDir) -> dict[str, Any]:
    """Read the run's present state.

    Returns:
        run_id, complete, paused, router, tasks, volunteers and submissions, as JSON values; times are UTC seconds.
    """
    state = read_state(run)
    others = num_others(state)
    return {
        "run_id": run.run_id,
        "complete": state.is_complete,
        "paused": state.pause.is_paused,
        "router": state.router.model_dump(),
        "tasks": [task_status(state, task, others[task.task.task_id]) for task in shown_tasks(state)],
        "volunteers": [volunteer_status(state, volunteer) for volunteer in state.volunteers.values()],
        "submissions": [submission_status(submission) for submission in state.submissions.values()],
    }


def volunteer_status(state: State, volunteer: VolunteerState) -> dict[str, Any]:
    """A volunteer as JSON values."""
    standing = state.standings.get(volunteer.public_key)
    return {
        "name": volunteer.want.name,
        "public_key": volunteer.public_key,
        "device": volunteer.want.device,
        "state": volunteer.want.state,
        "standing": None if standing is None else standing.standing,
        "seen_at": volunteer.seen_at,
        "accepted": volunteer.num_accepted,
        "rejected": volunteer.num_rejected,
        "revoked": volunteer.num_revoked,
    }


def submission_status(known: SubmissionState) -> dict[str, Any]:
    """A submission as JSON values, with its verdict."""
    submission, verdict = known.submission, known.verdict
    return {
        "task_id": submission.task_id,
        "attempt": submission.attempt,
        "lease_id": submission.lease_id,
        "volunteer": submission.name,
        "pull_request": submission.pull_request,
        "start_step": submission.start_step,
        "steps": submission.steps,
        "phase": known.phase,
        "verdict": None if verdict is None else verdict.model_dump(mode="json"),
    }


def _size(held: LeaseState | None, registration: Registration | None) -> int | None:
    """Which smaller size an expert has; None: the run's model, or not begun."""
    known = held.lease if held is not None else registration
    return None if known is None else known.size


def task_status(state: State, task: TaskState, others: int) -> dict[str, Any]:
    """A task with its present lease and last heartbeat, as JSON values; arguments as `board_row`."""
    held, row = state.leases.get(task.lease_id or ""), board_row(state, task, others)
    return {
        **vars(row),
        "holders": row.holders,
        "heartbeat_at": None if held is None else held.heartbeat_at,
        "sha256": None if task.registration is None else task.registration.sha256,
        "size": _size(held, task.registration),
    }


def print_status(run: RunDir, *, watch: bool) -> None:
    """Print the state as a table; with `watch`, refresh it until the run is complete or interrupted."""
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
    from rich.text import Text

    waiting = sum(v["state"] == "waiting" for v in status["volunteers"])
    paused = "paused, " if status["paused"] else ""
    volunteers = counted(len(status["volunteers"]), "volunteer")
    caption = f"{paused}{volunteers} ({waiting} waiting), router: {status['router']['phase']}"
    table = Table(title=f"Run {status['run_id']}", caption=caption)
    for column in ("task", "state", "volunteer", "step", "loss", "last heartbeat"):
        table.add_column(column)
    now = time.time()
    for task in status["tasks"]:
        seen = task["heartbeat_at"]
        table.add_row(
            task["task_id"],
            task["state"] + (f" ({task['phase']})" if task["phase"] and task["state"] == "leased" else ""),
            Text(printable(task["holders"])),
            f"{task['step']}/{task['steps']}",
            "" if task["loss"] is None else f"{task['loss']:.4f}",
            "" if seen is None else f"{max(0.0, now - seen):.0f} s ago",
        )
    return table
