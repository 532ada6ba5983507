"""Rows of the pages, made of the state. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from paris.coordinator.decisions.parallel import live_leases
from paris.coordinator.report.status import submission_status, task_status, volunteer_status
from paris.coordinator.state.boards import Board, num_others, shown_tasks
from paris.coordinator.state.credits import Credit, credits_of
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.lanes import lane_of

T = TypeVar("T")
TASK_STATES = ("open", "leased", "fetching", "training", "paused", "uploading", "verifying", "registered")
"""States of tasks on the board, in the order of the work."""
VERDICTS = ("waiting", "accepted", "rejected", "withdrawn")
_OF_HEARTBEATS = {"waiting-verdict": "verifying", "failed": "leased"}


@dataclass(frozen=True)
class Part(Generic[T]):
    """The rows of one page of a table."""

    rows: Sequence[T]
    number: int
    """Of the page, from 1."""
    num_pages: int
    num_rows: int
    """Of all pages."""


def part_of(rows: Sequence[T], number: int, size: int) -> Part[T]:
    """Cut one page of rows; beyond the last page, the last."""
    num_pages = max(1, -(-len(rows) // size))
    number = min(number, num_pages)
    return Part(rows[(number - 1) * size : number * size], number, num_pages, len(rows))


def task_rows(state: State) -> list[dict[str, Any]]:
    """The tasks in the order of their clusters: the fields of `task_status`, and `board`, one of TASK_STATES."""
    rows, others = [], num_others(state)
    for task in shown_tasks(state):
        row = task_status(state, task, others[task.task.task_id])
        held = state.leases.get(task.lease_id or "")
        lease = None if held is None else held.lease
        row["board"] = _board_state(row["state"], row["phase"])
        row["leg"] = None if lease is None or lease.to_step is None else (lease.start_step, lease.to_step)
        known = state.submissions.get(task.registration.lease_id) if task.registration is not None else None
        row["loss"] = known.submission.final_loss if known is not None else row["loss"]
        row["share"] = min(1.0, row["step"] / row["steps"])
        rows.append(row)
    return rows


def history_rows(board: Board) -> list[dict[str, Any]]:
    """The tasks of an earlier board: the fields of `BoardRow`; `holders`, `board` and `share` as `task_rows`."""
    return [
        vars(row)
        | {"holders": row.holders, "board": _board_state(row.state, row.phase), "share": min(1.0, row.step / row.steps)}
        for row in sorted(board.tasks.values(), key=lambda row: (row.cluster, lane_of(row.task_id)))
    ]


def _board_state(state: str, phase: str) -> str:
    if state in ("submitted", "waiting"):  # a lane waits for the others to be verified
        return "verifying"
    return _OF_HEARTBEATS.get(phase, phase) if state == "leased" and phase else state


def state_counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many tasks are in each of TASK_STATES."""
    counts = Counter(row["board"] for row in rows)
    return {name: counts[name] for name in TASK_STATES}


def progress_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How far a run is, by `task_rows`: `verified` and `reached` shares of the steps of all experts, in [0, 1]."""
    rows = [row for row in rows if lane_of(row["task_id"]) == 0]
    total = sum(row["steps"] for row in rows) or 1
    return {
        "registered": sum(row["board"] == "registered" for row in rows),
        "num_tasks": len(rows),
        "verified": sum(row["verified_step"] for row in rows) / total,
        "reached": sum(row["step"] for row in rows) / total,
    }


def num_present(state: State, alive_since: float) -> int:
    """How many volunteers were seen since a time, UTC seconds."""
    return sum(volunteer.seen_at >= alive_since for volunteer in state.volunteers.values())


def volunteer_rows(state: State, text: str, alive_since: float) -> list[dict[str, Any]]:
    """Volunteers, those seen last first.

    Args:
        state: The state.
        text: Only those whose name contains it, or whose key starts with it; empty: all.
        alive_since: UTC seconds; who was seen since is `alive`.
    """
    held = {live.lease.volunteer: live.lease.task_id for live in live_leases(state)}
    rows = []
    for volunteer in state.volunteers.values():
        if text and text not in volunteer.want.name.lower() and not volunteer.public_key.startswith(text):
            continue
        row = volunteer_status(state, volunteer)
        row["alive"] = volunteer.seen_at >= alive_since
        row["task_id"] = held.get(volunteer.public_key, "")
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["seen_at"], row["public_key"]))


def verdict_rows(state: State, result: str = "", task_id: str = "") -> list[dict[str, Any]]:
    """Submissions, the newest first: the fields of `submission_status`, and `result`, one of VERDICTS.

    Args:
        state: The state.
        result: Only those with this result; empty: all.
        task_id: Only those of this task; empty: of all.
    """
    rows = []
    for known in sorted(state.submissions.values(), key=lambda it: -it.seen_at):
        found = _result_of(known)
        if (not result or found == result) and (not task_id or known.submission.task_id == task_id):
            rows.append({**submission_status(known), "result": found, "seen_at": known.seen_at, "signer": known.signer})
    return rows


def _result_of(known: SubmissionState) -> str:
    if known.phase == "withdrawn":
        return "withdrawn"
    if known.verdict is None:
        return "waiting"
    return "accepted" if known.verdict.accepted else "rejected"


def leaders(state: State) -> list[Credit]:
    """The volunteers with verified steps, own or repeated, and those who audited, the most first."""
    return [credit for credit in credits_of(state) if credit.steps or credit.repeated_steps or credit.audited_steps]
