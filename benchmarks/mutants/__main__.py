"""`python -m benchmarks.mutants`: the mutation score of each group in the plan, and the mutants that survive.

Writes benchmarks/results/mutants.json and the tables of docs/reliability.md. A run over some modules replaces only
their rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from benchmarks.mutants.plan import GROUPS, ROOT, Group
from benchmarks.mutants.scoring import score
from benchmarks.mutants.table import write_tables

_RESULT = ROOT / "benchmarks" / "results" / "mutants.json"


def main() -> int:
    """Run the mutants, print the survivors and write the scores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="beginnings of paths, such as protocol/; none: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at the same time")
    parser.add_argument("--share", type=float, default=1.0, help="share of each module's mutants, at least one")
    parser.add_argument("--seed", type=int, default=0, help="another sample")
    parser.add_argument("--dry", action="store_true", help="write no result")
    options = parser.parse_args()
    for group in GROUPS:
        paths = [path for path in group.paths() if not options.modules or path.startswith(tuple(options.modules))]
        if paths and (status := _in_a_fork(group, paths, options)):
            return status
    return 0


def _in_a_fork(group: Group, paths: list[str], options: argparse.Namespace) -> int:
    """Each group begins without the imports of the group before."""
    sys.stdout.flush()
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        rows = score(group, paths, options.jobs, options.share, options.seed)
        for row in rows:
            print(f"{row['module']:44s} {row['killed']:4d} of {row['run']:4d} killed")
            for survivor in row["survivors"]:
                print(f"    {row['module']}:{survivor}")
        if not options.dry:
            _merge(rows)
        code = 0
    except SystemExit as error:
        print(error)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _merge(rows: list[dict[str, Any]]) -> None:
    from benchmarks.record import write_result

    before = json.loads(_RESULT.read_text("utf-8"))["rows"] if _RESULT.exists() else []
    by_module = {row["module"]: row for row in (*before, *rows)}
    merged = [by_module[path] for group in GROUPS for path in group.paths() if path in by_module]
    write_result("mutants", merged, seeds=sorted({row["seed"] for row in merged}))
    write_tables(merged, ROOT / "docs" / "reliability.md")


if __name__ == "__main__":
    raise SystemExit(main())
