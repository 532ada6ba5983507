"""`python -m benchmarks.mutants`: the mutation score of each module in the plan, and the mutants that survive.

Writes benchmarks/results/mutants.json and the table of docs/reliability.md. A run over some modules replaces only their
rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.mutants import running
from benchmarks.mutants.operators import list_mutants
from benchmarks.mutants.plan import PLAN
from benchmarks.mutants.table import write_table

_ROOT = Path(__file__).resolve().parents[2]
_RESULT = _ROOT / "benchmarks" / "results" / "mutants.json"


def main() -> int:
    """Run the mutants, print the survivors and write the scores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="beginnings of paths, such as protocol/; none: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at the same time")
    parser.add_argument("--share", type=float, default=1.0, help="share of each module's mutants, chosen by seed")
    parser.add_argument("--dry", action="store_true", help="write no result")
    options = parser.parse_args()
    chosen = [path for path in PLAN if not options.modules or path.startswith(tuple(options.modules))]
    rows = []
    for path in chosen:
        row = score(path, PLAN[path], options.jobs, options.share)
        print(f"{row['module']:40s} {row['killed']:4d} of {row['run']:4d} killed, {row['seconds']:.0f} s", flush=True)
        for survivor in row["survivors"]:
            print(f"    {path}:{survivor}", flush=True)
        rows.append(row)
        if not options.dry:
            _write(rows)
    return 0


def score(path: str, tests: tuple[str, ...], jobs: int, share: float) -> dict[str, Any]:
    """Run one module's mutants.

    Args:
        path: The module's file, from the root of the repository.
        tests: What pytest is given.
        jobs: Processes at the same time.
        share: Of the mutants, 0 to 1.
    """
    mutants = list_mutants((_ROOT / path).read_text("utf-8"))
    count = max(1, round(share * len(mutants)))
    indices = sorted(random.Random(path).sample(range(len(mutants)), count))
    name = "paris." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    limit_s = running.baseline(tests)
    began = time.monotonic()
    killed, survivors = 0, []
    with tempfile.TemporaryDirectory() as folder:
        waiting, forks = iter(indices), {}
        while True:
            while len(forks) < jobs and (index := next(waiting, None)) is not None:
                forks[index] = running.start(tests, (name, index), limit_s, Path(folder) / str(index))
            if not forks:
                break
            for index, fork in list(forks.items()):
                code = running.ended(fork)
                if code is None:
                    continue
                del forks[index]
                killed += code != 0
                if code == 0:
                    survivors.append(index)
            time.sleep(0.01)
    return {
        "module": path,
        "mutants": len(mutants),
        "run": count,
        "killed": killed,
        "survivors": [f"{mutants[i].line}: {mutants[i].what}" for i in sorted(survivors)],
        "seconds": round(time.monotonic() - began, 1),
    }


def _write(rows: list[dict[str, Any]]) -> None:
    """Write in a fork: what writing imports would be imported already in the forks of the next module."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    try:
        _merge(rows)
    finally:
        os._exit(0)


def _merge(rows: list[dict[str, Any]]) -> None:
    from benchmarks.record import write_result

    before = json.loads(_RESULT.read_text("utf-8"))["rows"] if _RESULT.exists() else []
    by_module = {row["module"]: row for row in (*before, *rows)}
    merged = [by_module[path] for path in PLAN if path in by_module]
    write_result("mutants", merged)
    write_table(merged, _ROOT / "docs" / "reliability.md")


if __name__ == "__main__":
    raise SystemExit(main())
