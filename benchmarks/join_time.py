"""From `paris-node join` to the first reported steps, and where the time goes: `python -m benchmarks.join_time`.

A served run of two small experts on this machine; volunteers join one after another, each with a new home, and give
their task back. Alternately the trainer starts with the want, as usual, and only when the data is there
(`early_trainer = false`). Times are those at which the node's events are read; processor seconds are of the node and
all below it, at the last of them. The trainer yields to nobody (`nice = 0`). Where other programs take the cores,
compare the processor seconds alone. Prints the medians and writes benchmarks/results/join_time.json.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.attacks_served import served_run
from benchmarks.record import write_result

_FORMS = {"early": "true", "late": "false"}
"""Values of PARIS_NODE_EARLY_TRAINER."""
_EVENTS = ("joined", "waiting", "leased", "fetched", "trainer-ready", "training")


def join_once(run: Path, home: Path, early: str) -> dict[str, float]:
    """Join, up to the first event of training; seconds until each event, and processor seconds.

    Args:
        run: Served.
        home: To be made.
        early: Whether the trainer starts early, as a setting's text.
    """
    node = [sys.executable, "-m", "paris.node.cli"]
    where = [str(run / "run.json"), "--home", str(home)]
    words = [*node, "join", *where, "--threads", "1", "--device", "cpu", "--json"]
    began, seen = time.monotonic(), {}
    environ = {**os.environ, "PARIS_NODE_EARLY_TRAINER": early, "PARIS_NODE_NICE": "0"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ) as joining:
        assert joining.stdout is not None
        for line in joining.stdout:
            event = next((name for name in _EVENTS if f'"event": "{name}"' in line), "")
            seen.setdefault(event, round(time.monotonic() - began, 2))
            if event == _EVENTS[-1]:
                break
        seen["cpu_s"] = round(_cpu_s(joining.pid), 2)
        joining.terminate()
    subprocess.run([*node, "leave", *where], capture_output=True, check=True)
    return {name: seen[name] for name in (*_EVENTS, "cpu_s") if name in seen}


def table(rows: dict[str, Any]) -> str:
    """The medians as Markdown."""
    columns = list(next(iter(rows.values()))["median"])
    lines = ["| trainer started | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for form, row in rows.items():
        lines.append(f"| {form} | " + " | ".join(f"{row['median'][name]:.1f} s" for name in columns) + " |")
    return "\n".join(lines) + "\n"


def _cpu_s(pid: int) -> float:
    total = 0.0
    top = psutil.Process(pid)
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="Joins of each form.")
    given = parser.parse_args()
    joins: dict[str, list[dict[str, float]]] = {form: [] for form in _FORMS}
    with tempfile.TemporaryDirectory() as text, served_run(Path(text)) as (run, _):
        for number in range(given.rounds):
            for form, early in _FORMS.items():
                joins[form].append(join_once(run, Path(text) / f"{form}-{number}", early))
                print(form, joins[form][-1], flush=True)
    rows = {
        form: {
            "median": {name: statistics.median(each[name] for each in found) for name in found[0]},
            "joins": found,
        }
        for form, found in joins.items()
    }
    print(table(rows), end="")
    write_result("join_time", rows, rounds=given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
