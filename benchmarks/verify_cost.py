"""What verification costs beside the training that it judges: `python -m benchmarks.verify_cost`.

CPU seconds of each rung for an honest expert among two others, of the replay of half of an honest leg, and of the
imports of a fresh verifying process, which the coordinator pays once for many submissions; shares are of the training
of the expert. On the small model of the tests, which trains for seconds: a real expert trains for hours, and rungs 1 to
4 grow with its weights alone. Writes benchmarks/results/verify_cost.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars

from benchmarks.attacks_seed import MAKERS, World, seeded_world
from benchmarks.record import as_table, write_result
from paris.coordinator.verify.ladder import verify

_EXPERT, _LEG = "honest: cluster 0, among others", "honest: leg of two snapshots"
_IMPORTS = (
    "import torch, paris.coordinator.verify.ladder, resource; u = resource.getrusage(resource.RUSAGE_SELF); "
    "print(u.ru_utime + u.ru_stime)"
)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    disable_progress_bars()
    imports_s = statistics.median(_imports_s() for _ in range(3))
    rows = [_row(seed, imports_s) for seed in range(given.seeds)]
    table = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    path = write_result("verify_cost", rows, seeds=range(given.seeds), median=table)
    print(as_table(("", "median"), [(name, f"{value:.4f}") for name, value in table.items()]))
    print(path)
    return 0


def _row(seed: int, imports_s: float) -> dict[str, float]:
    """One honest expert and one honest leg, judged in this process: the Hub's threads do not count."""
    with tempfile.TemporaryDirectory() as text, seeded_world(seed, Path(text)) as world:
        rungs = _rungs(world, _LEG)  # imports what is imported late, too
        replay_s = rungs["replay"]
        rungs = _rungs(world, _EXPERT)
        trained_s = world.train(0).cpu_s
    whole_s = sum(rungs.values())
    return {
        **{f"{name}_cpu_s": seconds for name, seconds in rungs.items()},
        "whole_cpu_s": whole_s,
        "replay_cpu_s": replay_s,
        "imports_cpu_s": imports_s,
        "training_cpu_s": trained_s,
        "share_of_training": whole_s / trained_s,
        "share_with_imports": (whole_s + imports_s) / trained_s,
    }


def _rungs(world: World, name: str) -> dict[str, float]:
    """CPU seconds of each rung on one submission."""
    attempt, how = MAKERS[name](world)
    case = attempt.case(**how)
    times = [time.thread_time()]
    report = verify(case, lambda line: times.append(time.thread_time()))
    return {rung.name: end - begin for rung, begin, end in zip(report.rungs, times, times[1:], strict=False)}


def _imports_s() -> float:
    """CPU seconds until a fresh process could verify."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True, env=one_thread)
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
