"""The part of the report that needs no model: tasks, losses, verdicts, bytes. Imports no torch."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paris.coordinator.report.leaderboard import read_leaderboard
from paris.coordinator.report.specialisation import SkillReports
from paris.coordinator.report.status import read_status
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run_hub.embedded import read_traffic
from paris.coordinator.state.reading import open_store, read_state

_VERSIONS = ("paris-swarm", "torch", "hivemind", "huggingface_hub", "daft", "pydantic")


def gather_facts(run: RunDir) -> dict[str, Any]:
    """Gather facts from the run's files; the service may be running.

    Args:
        run: A run directory.

    Returns:
        The fields of report.json, except `recognition`.
    """
    status = read_status(run)
    measured = _read_json(run.path / "measurements.json")
    return {
        "run_id": status["run_id"],
        "machine": machine_facts(),
        "stages_s": measured.get("stages_s", {}),
        "peak_memory_bytes": measured.get("peak_memory_bytes"),
        "experts": _experts(run, status),
        "curves": _loss_curves(run),
        "specialisation": _specialisation(run),
        "router": _read_json(run.router / "report.json"),
        "legs": _legs(status),
        "verdicts": [s["verdict"] | {"volunteer_name": s["volunteer"]} for s in status["submissions"] if s["verdict"]],
        "contributors": read_leaderboard(run),
        "volunteers": measured.get("volunteers", {}),
        "hub_bytes": _hub_bytes(run),
        "sockets": measured.get("sockets", {}),
        "bytes_between_experts": _bytes_between_experts(measured.get("sockets", {})),
        "clusters": _read_json(run.data / "clusters.json"),
        "attribution": run.config.run.attribution,
    }


def machine_facts() -> dict[str, Any]:
    """System, cores and package versions of this machine."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _loss_curves(run: RunDir) -> dict[str, list[tuple[int, float]]]:
    """Steps and losses of each task, from its heartbeats."""
    store = open_store(run)
    try:
        return store.curves()
    finally:
        store.close()


def _specialisation(run: RunDir) -> dict[str, Any]:
    """The losses of experts on each other's clusters."""
    return asdict(SkillReports(run.verify).matrix(read_state(run)))


def _experts(run: RunDir, status: dict[str, Any]) -> list[dict[str, Any]]:
    clusters = {c["cluster"]: c for c in _read_json(run.data / "clusters.json").get("clusters", [])}
    fields = ("task_id", "cluster", "state", "attempt", "steps", "volunteer", "sha256")
    skills = {s["task_id"]: _skill(s["verdict"]) for s in status["submissions"] if s["phase"] == "registered"}
    return [
        {name: task[name] for name in fields}
        | {"rows": clusters.get(task["cluster"], {}).get("rows"), "skill": skills.get(task["task_id"])}
        for task in status["tasks"]
    ]


def _legs(status: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The verified legs of each expert that has more than one, in the order of their steps."""
    legs: dict[str, list[dict[str, Any]]] = {}
    for submission in sorted(status["submissions"], key=lambda s: s["steps"]):
        if submission["start_step"] is not None and submission["phase"] in ("stored", "registered"):
            fields = ("start_step", "steps", "volunteer")
            legs.setdefault(submission["task_id"], []).append({name: submission[name] for name in fields})
    return {task_id: found for task_id, found in sorted(legs.items()) if len(found) > 1}


def _skill(verdict: dict[str, Any]) -> dict[str, Any] | None:
    return next((rung for rung in verdict["rungs"] if rung["rung"] == "skill"), None)


def _bytes_between_experts(sockets: dict[str, int]) -> int | None:
    """0 if trainers were watched and had no socket or connection; None if unknown."""
    watched = sockets.get("looks", 0) > 0
    return 0 if watched and sockets["trainer_sockets"] == sockets["between_volunteers"] == 0 else None


def _hub_bytes(run: RunDir) -> dict[str, dict[str, int]]:
    """Bytes of each user of the embedded Hub."""
    users: dict[str, dict[str, int]] = {}
    for entry in read_traffic(run) if run.config.hub.embedded else []:
        counts = users.setdefault(entry["user"], {"uploaded_bytes": 0, "downloaded_bytes": 0})
        for name in counts:
            counts[name] += entry[name]
    return users


def _read_json(path: Path) -> dict[str, Any]:
    return (
        read_object(path, "Restore it from a copy, or run the command that wrote it again.") if path.is_file() else {}
    )
