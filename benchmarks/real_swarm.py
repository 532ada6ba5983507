"""A real swarm on one machine: `python -m benchmarks.real_swarm --work FOLDER`.

    python -m benchmarks.real_swarm --work FOLDER                           200 nodes for 30 minutes
    python -m benchmarks.real_swarm --work FOLDER --minutes 2 --peers 20    a short one

One `paris-coord serve` and real nodes, each with its identity, DHT peer and announcer, several in a process; half of
them get a task, and nobody trains. Measured: bytes and processor time, from wanting a task to the lease, from
publishing a heartbeat to the coordinator's having seen it. All share the machine, so the times are upper bounds.

Writes FOLDER/real_swarm.json; with `--keep` benchmarks/results/real_swarm.json and its table in docs/simulation.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.marked import replace_between
from benchmarks.real_swarm_run import make_run, serve
from benchmarks.record import write_result
from paris.coordinator.planning.words import size

_DOC = Path(__file__).resolve().parents[1] / "docs" / "simulation.md"
_BEGIN, _END = "<!-- real swarm: python -m benchmarks.real_swarm -->\n", "<!-- end of real swarm -->\n"
_PEERS, _MINUTES = 200, 30
_A_PROCESS = 50
"""Nodes of one process."""
_LOOK_S = 0.5
_START_S = 600.0
Seen = dict[tuple[str, int], float]
"""By lease and step: when the coordinator saw it, UTC seconds."""


def main() -> int:
    """Start, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a missing or empty folder for the run and the nodes")
    parser.add_argument("--peers", type=int, default=_PEERS)
    parser.add_argument("--minutes", type=float, default=_MINUTES)
    parser.add_argument("--keep", action="store_true", help="write the result and the table into the repository")
    given = parser.parse_args()
    row = measure(given.work, given.peers, given.minutes * 60)
    print(json.dumps(row, indent=1))
    print(write_result("real_swarm", [row], out=None if given.keep else given.work / "real_swarm.json"))
    if given.keep:
        replace_between(_DOC, _BEGIN, table(row), _END)
    return 0


def table(row: dict[str, Any]) -> str:
    """For docs/simulation.md.

    Args:
        row: From `measure`.
    """
    lease, seen = row["want_to_lease_s"] or {}, row["heartbeat_to_seen_s"] or {}
    lines = [
        f"| {row['peers']} nodes, {row['experts']} experts, {row['seconds'] / 60:.0f} minutes | |",
        "| --- | --- |",
        f"| nodes with a lease | {row['leases']} |",
        f"| from wanting a task to the lease: median, p95 | {_seconds(lease)} |",
        f"| from publishing a heartbeat to its being seen: median, p95 | {_seconds(seen)} |",
        f"| heartbeats seen, of those published | {row['heartbeats_seen']} of {row['heartbeats_sent']} |",
        f"| bytes an hour of a node with a lease | {_size(row['bytes_an_hour_with_lease'])} |",
        f"| bytes an hour of a waiting node | {_size(row['bytes_an_hour_waiting'])} |",
        f"| the coordinator, of one core | {row['coordinator_cpu_share']:.1%} |",
        f"| all nodes, of one core | {row['nodes_cpu_share']:.1%} |",
    ]
    return "\n".join([*lines, ""])


def _seconds(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} s, {found['p95']:.1f} s" if found else "-"


def _size(count: int | None) -> str:
    return "-" if count is None else size(count)


def measure(folder: Path, peers: int, seconds: float) -> dict[str, Any]:
    """Run a swarm.

    Args:
        folder: Missing or empty.
        peers: Nodes.
        seconds: From the start of the first node.

    Returns:
        The figures.
    """
    run = make_run(folder / "run", max(1, peers // 2))
    coordinator = serve(run, folder / "serve.log")
    seen: Seen = {}
    try:
        _wait_for(run.path / "run.json", coordinator)
        with _watching(run.state_file, seen):
            before = _cpu_s(coordinator.pid)
            began = time.monotonic()
            lines, nodes_cpu_s = _live(folder, run.path / "run.json", peers, seconds)
            took_s = time.monotonic() - began
            cpu_s = _cpu_s(coordinator.pid) - before
    finally:
        coordinator.send_signal(signal.SIGINT)
        coordinator.wait(60)
    return {"peers": peers, "experts": max(1, peers // 2), "seconds": round(took_s, 1)} | figures(
        lines, seen, took_s, cpu_s, nodes_cpu_s
    )


def figures(
    lines: Sequence[dict[str, Any]], seen: Seen, took_s: float, cpu_s: float, nodes_cpu_s: float
) -> dict[str, Any]:
    """What the nodes printed and the coordinator saw, as figures.

    Args:
        lines: Of all nodes.
        seen: Of all heartbeats.
        took_s: Seconds of the measurement.
        cpu_s: Processor time of the coordinator and its children in it.
        nodes_cpu_s: That of the nodes.
    """
    leases = [line["after_s"] for line in lines if line["what"] == "lease"]
    sent = {(line["lease"], line["step"]): line["at"] for line in lines if line["what"] == "heartbeat"}
    delays = [seen[key] - at for key, at in sent.items() if key in seen]
    traffic = [line for line in lines if line["what"] == "traffic"]
    return {
        "leases": len(leases),
        "want_to_lease_s": _quantiles(leases),
        "heartbeats_sent": len(sent),
        "heartbeats_seen": len(delays),
        "heartbeat_to_seen_s": _quantiles(delays),
        "bytes_an_hour_with_lease": _bytes_an_hour(line for line in traffic if line["has_lease"]),
        "bytes_an_hour_waiting": _bytes_an_hour(line for line in traffic if not line["has_lease"]),
        "coordinator_cpu_share": round(cpu_s / took_s, 4),
        "nodes_cpu_share": round(nodes_cpu_s / took_s, 4),
        "errors": sorted({line["error"] for line in lines if line["what"] == "error"}),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 3),
        "most": round(ordered[-1], 3),
    }


def _bytes_an_hour(traffic: Iterable[dict[str, Any]]) -> int | None:
    """Mean over the nodes, of what each sent and received."""
    found = [3600 * (line["sent"] + line["received"]) / line["seconds"] for line in traffic if line["seconds"] > 0]
    return round(statistics.fmean(found)) if found else None


def _live(folder: Path, run_json: Path, peers: int, seconds: float) -> tuple[list[dict[str, Any]], float]:
    """Start the processes of nodes, and wait until they end.

    Returns:
        What they printed, and their processor time.
    """
    processes = []
    for first in range(0, peers, _A_PROCESS):
        count = min(_A_PROCESS, peers - first)
        words = (str(run_json), str(folder), str(first), str(count), str(int(seconds)))
        with (folder / f"nodes-{first}.jsonl").open("wb") as out, (folder / f"nodes-{first}.log").open("wb") as err:
            command = [sys.executable, "-m", "benchmarks.real_swarm_peers", *words]
            processes.append(subprocess.Popen(command, stdout=out, stderr=err))
    cpu_s, alive = dict.fromkeys((process.pid for process in processes), 0.0), list(processes)
    while alive:
        for process in alive:
            with contextlib.suppress(psutil.Error):
                cpu_s[process.pid] = max(cpu_s[process.pid], _cpu_s(process.pid))
        time.sleep(_LOOK_S)
        alive = [process for process in alive if process.poll() is None]
    files = sorted(folder.glob("nodes-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()], sum(cpu_s.values())


@contextlib.contextmanager
def _watching(state_file: Path, seen: Seen) -> Iterator[None]:
    """Look again and again which heartbeats the coordinator's state has."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_S):
            with contextlib.closing(sqlite3.connect(f"file:{state_file}?mode=ro", uri=True, timeout=30)) as db:
                rows = [json.loads(text) for (text,) in db.execute("SELECT row FROM leases")]
            for row in rows:
                if row["heartbeat"] is not None:
                    seen.setdefault((row["lease"]["lease_id"], row["heartbeat"]["step"]), row["heartbeat_at"])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _cpu_s(pid: int) -> float:
    """Processor time of a process and its children that live."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _wait_for(path: Path, coordinator: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while not path.is_file():
        if coordinator.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"paris-coord serve did not start; see serve.log beside {path.parent}.")
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
