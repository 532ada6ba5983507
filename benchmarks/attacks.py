"""Attacks on a run, and honest work beside them: `python -m benchmarks.attacks` or `make attacks`.

Attacks on the ladder: each seed is a world of its own (pictures, weights, order, noise, secret draws) and a process of
its own (attacks_seed.py), which plays every submission of tests/swarm/attacks against the embedded Hub and the
coordinator's verifying process. Attacks on the run (attacks_served.py): a served run, and a process an attack. Attacks
by auditors (attacks_audited.py): the coordinator's decisions alone.

Trials that benchmarks/results/attacks.json already has are not repeated: an interrupted benchmark continues. `--again`
repeats some, after a rung has changed. The tables: `python -m benchmarks.attacks_report`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.attacks_audited import AUDITED
from benchmarks.attacks_audited import play as play_audited
from benchmarks.attacks_results import Trials
from benchmarks.attacks_seed import MAKERS
from benchmarks.attacks_served import AFTERWARDS, SERVED, play
from benchmarks.record import RESULTS, command_of, described_machine


class Benchmark:
    """Runs the missing trials.

    Args:
        trials: Those that are there.
        end_at: `time.monotonic()` after which no trial begins; those that run are given up.
    """

    def __init__(self, trials: Trials, end_at: float) -> None:
        self._trials, self._end_at = trials, end_at
        self._lock = threading.Lock()
        self._about = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": command_of("attacks"),
            "machine": described_machine(),
        }

    def run_seed(self, seed: int, names: list[str]) -> None:
        """Run the trials of one seed that are missing."""
        missing = [name for name in names if not self._trials.has(name, seed)]
        if not missing or time.monotonic() > self._end_at:
            return
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.attacks_seed", str(seed)]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=one_thread
        ) as process:
            threading.Thread(target=self._stop_in_time, args=(process,), daemon=True).start()
            errors: list[str] = []
            reader = threading.Thread(target=lambda: errors.extend(cast(IO[str], process.stderr)), daemon=True)
            reader.start()
            stdin = cast(IO[str], process.stdin)
            random.Random(seed).shuffle(missing)  # where the time ends before the seeds, all have some trials
            stdin.write("\n".join(missing))
            stdin.close()
            for line in cast(IO[str], process.stdout):
                self._add(json.loads(line))
            reader.join()
        if process.returncode > 0:
            print(f"seed {seed} ended with code {process.returncode}:\n{''.join(errors[-20:])}", file=sys.stderr)

    def run_served(self, seed: int, names: list[str]) -> None:
        """Run the trials of one seed on a served run; an honest volunteer joins last."""
        missing = [name for name in names if not self._trials.has(name, seed)]
        if missing and time.monotonic() < self._end_at:
            for trial in play([*missing, AFTERWARDS], seed):
                self._add(trial)

    def run_audited(self, seed: int, names: list[str]) -> None:
        """Run the trials of one seed of attacks by auditors."""
        for trial in play_audited([name for name in names if not self._trials.has(name, seed)], seed):
            self._add(trial)

    def _stop_in_time(self, process: subprocess.Popen[str]) -> None:
        try:
            process.wait(max(0.0, self._end_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()

    def _add(self, trial: dict[str, Any]) -> None:
        with self._lock:
            self._trials.add(trial)
            self._trials.save(self._about, [*MAKERS, *AUDITED, *SERVED, AFTERWARDS])
        said = trial["refused_by"] or "accepted"
        print(f"{trial['name']}, seed {trial['seed']}: {said}, {trial['figure']:g} of {trial['bound']:g}", flush=True)


def main() -> int:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30, help="of submissions that need no training of their own")
    parser.add_argument("--trained-seeds", type=int, default=10, help="of those that do, honest work among them")
    parser.add_argument("--served-seeds", type=int, default=3, help="of attacks on a served run")
    parser.add_argument("--workers", type=int, default=2, help="seeds at the same time, a core each")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop then; another call continues")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--again", action="append", default=[], help="repeat names that contain this")
    parser.add_argument("--out", type=Path, default=RESULTS / "attacks.json")
    given = parser.parse_args()
    trials = Trials(given.out)
    everything = [*MAKERS, *AUDITED, *SERVED, AFTERWARDS]
    trials.forget({name for name in everything if any(word in name for word in given.again)})
    asked = [name for name in MAKERS if given.only in name]
    served = [name for name in SERVED if given.only in name]
    audited = [name for name in AUDITED if given.only in name]
    benchmark = Benchmark(trials, time.monotonic() + 60 * given.minutes)
    with ThreadPoolExecutor(given.workers) as pool:
        for seed in range(given.served_seeds):
            pool.submit(benchmark.run_served, seed, served)
        for seed in range(given.seeds):
            pool.submit(benchmark.run_audited, seed, audited)
        for seed in range(max(given.seeds, given.trained_seeds)):
            num_seeds = {False: given.seeds, True: given.trained_seeds}
            pool.submit(benchmark.run_seed, seed, [name for name in asked if seed < num_seeds[needs_training(name)]])
    return 0


def needs_training(name: str) -> bool:
    """Whether a submission costs a training that others do not share."""
    from catalogue import CATALOGUE

    trained = {attack.name for theme in ("training", "legs") for attack in CATALOGUE[theme]}
    return name.startswith("honest: ") or name.removeprefix("attack: ") in trained


if __name__ == "__main__":
    sys.exit(main())
