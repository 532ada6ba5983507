"""Writes the table of docs/reliability.md from benchmarks/results/faults.json: `python -m benchmarks.faults_report`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.faults import FAULTS_PER_RUN
from benchmarks.marked import replace_between
from benchmarks.record import RESULTS

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "swarm" / "faults"))

from play import FAULTS, make_fault

_DOCS = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
_BEGIN = "<!-- faults: python -m benchmarks.faults_report -->\n"
_END = "<!-- end of faults -->\n"


def fault_table(rows: list[dict[str, Any]]) -> str:
    """A line for each kind, as Markdown.

    Args:
        rows: Of faults.json.
    """
    lines = [
        "| kind | what is done | runs | came too late | failed | steps lost at most | CPU s of a run, median |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in FAULTS:
        chosen = [row for row in rows if name in row["done"]]
        if not chosen:
            lines.append(f"| {name} | {make_fault(name).does} | 0 | | | | |")
            continue
        late = sum(not row["done"][name] for row in chosen)
        failed = sum(bool(row["wrong"]) for row in chosen)
        lost = max(row["lost_steps"] for row in chosen)
        cpu_s = statistics.median(row["cpu_s"] for row in chosen)
        lines.append(f"| {name} | {make_fault(name).does} | {len(chosen)} | {late} | {failed} | {lost} | {cpu_s:.1f} |")
    return "\n".join(lines) + "\n"


def conditions(result: dict[str, Any]) -> str:
    """Under what the runs were played: a paragraph."""
    machine, rows = result["machine"], result["rows"]
    failed = [str(row["seed"]) for row in rows if row["wrong"]]
    return (
        f"{result['date']}, {machine['processor']}, {machine['cores']} cores: {len(rows)} runs, each with "
        f"{FAULTS_PER_RUN} kinds, so a failed run counts against three; failed: "
        f"{'seeds ' + ', '.join(failed) if failed else 'none'}.\n"
    )


def main() -> int:
    """Replace the table between the marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--result", type=Path, default=RESULTS / "faults.json")
    parser.add_argument("--docs", type=Path, default=_DOCS)
    given = parser.parse_args()
    result = json.loads(given.result.read_text("utf-8"))
    body = f"{conditions(result)}\n{fault_table(result['rows'])}"
    replace_between(given.docs, _BEGIN, body, _END)
    print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
