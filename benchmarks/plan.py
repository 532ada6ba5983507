"""The plan of a run against what the run then took: a demo that has ended on this machine.

python -m benchmarks.plan                     of demo/; measures this machine; writes benchmarks/results/plan.json
python -m benchmarks.plan --demo FOLDER --out FILE

The plan is made as before the demo: from run.toml alone, the list of pictures, and the steps measured now. Load of
other programs changes the measured steps and the demo alike only while it lasts: run both on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.record import as_table, write_result
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_before
from paris.coordinator.planning.measured import measure_run, read_devices
from paris.coordinator.planning.plan import Plan
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests

_PUBLISHED = ("attribution.parquet", "vocab.json", "README.md")
_REASONABLE = 1.5


class Figure(NamedTuple):
    """One figure, planned and taken."""

    what: str
    unit: str
    planned: float
    taken: float

    @property
    def ratio(self) -> float:
        """Taken over planned."""
        return self.taken / self.planned


def compare(demo: Path, *, measure: bool) -> list[Figure]:
    """Plan a demo's run as before it ran, and read what it took.

    Args:
        demo: The demo's folder.
        measure: Measure this machine now; else take the speed that the run directory remembers.
    """
    run = RunDir.open(demo / "run")
    facts = facts_before(run.config)
    if measure:
        measure_run(run, facts, "cpu", 1)  # as the demo's volunteers: one thread each
    events = {path.stem: _events(path) for path in sorted((demo / "logs").glob("volunteer-*.jsonl"))}
    plan = make_plan(facts, read_devices(run), len(events))
    return [*_times(plan, json.loads((demo / "report.json").read_text("utf-8")), events), *_bytes(plan, run, events)]


def _times(plan: Plan, report: dict[str, Any], events: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    here = plan.cards[0]
    trained = [seconds for listed in events.values() for seconds in _trainings(listed)]
    return [
        Figure("training of an expert, beside the others", "s", here.beside_s or 0.0, sum(trained) / len(trained)),
        Figure("training of all experts and the router", "s", here.all_s or 0.0, report["stages_s"]["train"]),
        Figure("prepare", "s", here.prepare_s or 0.0, report["stages_s"]["prepare"]),
    ]


def _bytes(plan: Plan, run: RunDir, events: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    volunteer, organiser = plan.volunteer, plan.organiser
    fetched = [event["num_bytes"] for listed in events.values() for event in listed if event["event"] == "fetching"]
    sent = [event["num_bytes"] for listed in events.values() for event in listed if event["event"] == "uploading"]
    control = [_last(listed, "control_plane_bytes") for listed in events.values()]
    hours = [(listed[-1]["at"] - listed[0]["at"]) / 3600 for listed in events.values()]
    vocabulary = (run.data / "vocab.json").stat().st_size
    shards = sum(manifest.num_bytes for manifest in load_manifests(run))
    published = shards + sum((run.data / name).stat().st_size for name in _PUBLISHED)
    whole = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    return [
        Figure("fetched for an expert", "B", volunteer.down_bytes, max(fetched) + vocabulary),
        Figure("sent for an expert", "B", volunteer.up_bytes, max(sent)),
        Figure(
            "records and heartbeats of a volunteer",
            "B",
            volunteer.control_bytes_per_hour * sum(hours) / len(hours),
            sum(control) / len(control),
        ),
        Figure("data repo", "B", organiser.data_repo_bytes, published),
        Figure("run directory", "B", organiser.disk_bytes, whole),
    ]


def _trainings(events: list[dict[str, Any]]) -> list[float]:
    """Seconds from a trainer's start to its last step."""
    seconds, began = [], None
    for event in events:
        if event["event"] == "trainer-ready":
            began = event["at"]
        elif event["event"] == "uploading" and began is not None:
            seconds.append(event["at"] - began)
            began = None
    return seconds


def _last(events: list[dict[str, Any]], field: str) -> float:
    return next(float(event[field]) for event in reversed(events) if field in event)


def _events(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def main() -> int:
    """Compare, print, write; 1 if a figure is off by more than half."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    parser.add_argument("--out", type=Path, default=None, help="file to write instead of benchmarks/results/plan.json")
    parser.add_argument("--remembered", action="store_true", help="take the speed that the run directory remembers")
    options = parser.parse_args()
    figures = compare(options.demo, measure=not options.remembered)
    rows = [[f.what, f"{f.planned:,.4g} {f.unit}", f"{f.taken:,.4g} {f.unit}", f"{f.ratio:.2f}"] for f in figures]
    print(as_table(["of the demo", "planned", "taken", "ratio"], rows))
    write_result("plan", [{**f._asdict(), "ratio": f.ratio} for f in figures], out=options.out, load=os.getloadavg())
    return int(any(not 1 / _REASONABLE <= f.ratio <= _REASONABLE for f in figures))


if __name__ == "__main__":
    sys.exit(main())
