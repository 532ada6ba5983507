"""A swarm in virtual time, checked in three ways: `python -m benchmarks.swarm_sim`.

    python -m benchmarks.swarm_sim                  all runs; some minutes of a core
    python -m benchmarks.swarm_sim --quick          a few small runs, into the folder --work
    python -m benchmarks.swarm_sim --most 1000      only runs of at most so many volunteers

Volunteers come, work, cheat and leave as measured of volunteer computing (`benchmarks/swarm/volunteers.py`), under the
coordinator's own `tick`, and under BOINC's quorum of two and adaptive replication with the same volunteers. Runs that
the result holds already are kept, so that the same command goes on after an interruption; `--again` starts anew.

Writes benchmarks/results/swarm_sim.json, docs/pictures/swarm-sim.png and the tables of docs/simulation.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, write_result
from benchmarks.swarm.figures import simulate
from benchmarks.swarm.scheme import Setup
from benchmarks.swarm_sim_report import write_report
from paris.protocol.limits import MAX_LANES

SCHEMES = ("paris", "adaptive", "quorum")
_MALICE = (0.0, 0.05, 0.2)
_SEEDS = range(5)
_ROOM = ((8, 1), (8, MAX_LANES), (64, 1), (64, MAX_LANES), (256, 1), (1024, 1))
"""Experts and lanes."""
_MANY = 10_000


def setups() -> list[Setup]:
    """All runs, the small ones first."""
    each = itertools.product(_SEEDS, _MALICE, SCHEMES)
    compared = [Setup(30, 15, malice, scheme, seed=seed) for seed, malice, scheme in each]
    # Six hours show who has work; the coordinator looks less often, as 10,000 rows cost more.
    room = [Setup(_MANY, k, 0.05, lanes=lanes, days=0.25, poll_minutes=30.0) for k, lanes in _ROOM]
    found = [*compared, *room]
    return sorted(found, key=lambda one: (one.volunteers, one.experts * one.lanes))


def quick_setups() -> list[Setup]:
    """Small runs of every kind."""
    small = [Setup(10, 4, 0.2, scheme, legs=3) for scheme in SCHEMES]
    return [*small, Setup(30, 4, 0.05, lanes=3, legs=3, days=2.0)]


def run_all(wanted: list[Setup], known: list[dict[str, Any]], out: Path | None) -> list[dict[str, Any]]:
    """Simulate what is not known yet; the result is written after each run.

    Args:
        wanted: The runs.
        known: Rows of an earlier result.
        out: Its file; None: benchmarks/results/swarm_sim.json.

    Returns:
        A row a run, in the order of `wanted`; runs that were not asked for stay at the end.
    """
    rows = {_key(row): row for row in known}
    for setup in wanted:
        key = _key(dataclasses.asdict(setup))
        if key in rows:
            continue
        started = time.process_time()
        rows[key] = {**simulate(setup), "cpu_s": round(time.process_time() - started, 1)}
        print(line_of(rows[key]), flush=True)
        write_result("swarm_sim", list(rows.values()), seeds=sorted({row["seed"] for row in rows.values()}), out=out)
    return list(rows.values())


def line_of(row: dict[str, Any]) -> str:
    """One run for the terminal."""
    wasted = "-" if row["wasted_share"] is None else f"{row['wasted_share']:.1%}"
    return (
        f"{row['scheme']:8} {row['volunteers']:6d} volunteers, {row['experts']:4d} experts, {row['lanes']} lanes, "
        f"{row['malice']:.0%} cheats: {row['makespan_days'] or '-'} days, {wasted} wasted, "
        f"{row['with_work_share']:.0%} with work, {row['cheats_found']} of {row['cheats']} cheats found, "
        f"{row['cpu_s']} s"
    )


def main() -> int:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small runs, in less than a minute")
    parser.add_argument("--work", type=Path, help="folder for the result of --quick")
    parser.add_argument("--most", type=int, default=_MANY, help="leave out runs of more volunteers")
    parser.add_argument("--again", action="store_true", help="simulate anew what the result holds already")
    given = parser.parse_args()
    if given.quick and given.work is None:
        parser.error("--quick takes --work FOLDER")
    out = given.work / "swarm_sim.json" if given.quick else None
    path = out or RESULTS / "swarm_sim.json"
    known = [] if given.again or not path.exists() else json.loads(path.read_text())["rows"]
    wanted = quick_setups() if given.quick else [one for one in setups() if one.volunteers <= given.most]
    rows = run_all(wanted, known, out)
    if not given.quick:
        write_report(rows)
    return 0


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[field.name] for field in dataclasses.fields(Setup))


if __name__ == "__main__":
    sys.exit(main())
