"""The demo's measurements for the report: stage times, peak memory, sockets, and figures of each volunteer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paris.coordinator.demo.journal import Journal
from paris.experts.files import write_whole


def write_measurements(
    path: Path,
    *,
    stages_s: dict[str, float],
    peak_memory_bytes: int,
    sockets: dict[str, int],
    journals: dict[str, Journal],
) -> None:
    """Write `measurements.json`, which `paris-coord report` includes if it exists.

    Args:
        path: The file.
        stages_s: Seconds of each stage.
        peak_memory_bytes: Peak of the sum of all processes' proportional set sizes.
        sockets: Counts of `SocketWatch`.
        journals: Each volunteer's events.
    """
    measured = {
        "stages_s": {name: round(value, 2) for name, value in stages_s.items()},
        "peak_memory_bytes": peak_memory_bytes,
        "sockets": sockets,
        "volunteers": {name: _volunteer(journal) for name, journal in journals.items()},
    }
    write_whole(path, json.dumps(measured, indent=1).encode())


def _volunteer(journal: Journal) -> dict[str, Any]:
    first_step = next(iter(journal.all_of("training")), {})
    traffic = journal.last_of("traffic") or {}
    return {
        "join_to_first_step_s": first_step.get("since_join_s"),
        "control_plane_bytes": traffic.get("control_plane_bytes"),
        "refused_by_trainers": sum(event["trainer_refused"] for event in journal.all_of("traffic")),
        "tasks": [event.get("task_id") for event in journal.all_of("leased")],
    }
