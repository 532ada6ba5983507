"""Whole runs in which things break: `python -m benchmarks.faults` or `make faults SEEDS=50`.

Each seed is a served run of its own with three kinds of faults of tests/swarm/faults; what must hold at its end is in
run_invariants.py there. A seed fixes the kinds, their moments and the damage; the system's scheduling stays free. Seeds
that benchmarks/results/faults.json already has are not played again: an interrupted benchmark continues.
`--seed 7` plays one again, and keeps nothing. The table: `python -m benchmarks.faults_report`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, command_of, described_machine
from paris.experts.files import write_whole

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "swarm" / "faults"))

from play import faults_of, played
from world import make_template

FAULTS_PER_RUN = 3


class Outcomes:
    """What came of each seed, in one file.

    Args:
        path: Read if it is there, and replaced with each seed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        found = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
        self.rows: dict[int, dict[str, Any]] = {row["seed"]: row for row in found}

    def add(self, row: dict[str, Any]) -> None:
        """Keep one more, in the order of the seeds."""
        with self._lock:
            self.rows[row["seed"]] = row
            about = {
                "name": "faults",
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "command": command_of("faults"),
                "machine": described_machine(),
            }
            lines = ",\n".join(f"  {json.dumps(self.rows[seed])}" for seed in sorted(self.rows))
            head = json.dumps(about, indent=1).removesuffix("\n}")
            write_whole(self._path, f'{head},\n "rows": [\n{lines}\n ]\n}}\n'.encode())


def told(row: dict[str, Any]) -> str:
    """One seed, for people: its faults, and what is wrong with the line that repeats it."""
    line = f"seed {row['seed']}: {', '.join(row['faults'])}: "
    if not row["wrong"]:
        return line + f"sound, {row['lost_steps']} steps lost, {row['cpu_s']} CPU s"
    again = f"python -m benchmarks.faults --seed {row['seed']}"
    return "\n  ".join([line + "FAILED", *row["wrong"], f"again: {again}"])


def main() -> int:
    """Play the seeds that are missing; 1 if an outcome was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="from 0 on, a run each")
    parser.add_argument("--seed", type=int, help="play this one alone, again, and keep nothing")
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time")
    parser.add_argument("--minutes", type=float, default=240.0, help="begin no run after that; another call continues")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults.json")
    given = parser.parse_args()
    end_at = time.monotonic() + 60 * given.minutes
    outcomes = Outcomes(given.out)
    with tempfile.TemporaryDirectory(prefix="paris-faults-template-") as folder:
        template = make_template(Path(folder))

        def run(seed: int) -> bool:
            if time.monotonic() > end_at:
                return True
            try:
                row = played(template, seed, faults_of(seed, FAULTS_PER_RUN))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr)
                return False
            print(told(row), flush=True)
            if given.seed is None:
                outcomes.add(row)
            return not row["wrong"]

        if given.seed is not None:
            return 0 if run(given.seed) else 1
        with ThreadPoolExecutor(given.workers) as pool:
            missing = [seed for seed in range(given.seeds) if seed not in outcomes.rows]
            return 0 if all(list(pool.map(run, missing))) else 1


if __name__ == "__main__":
    sys.exit(main())
