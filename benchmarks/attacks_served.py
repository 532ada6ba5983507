"""Attacks on a served run, for `benchmarks.attacks`: `paris-coord serve` on a small run, each attack a process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.attacks_seed import TESTS

sys.path += [str(TESTS / "swarm"), str(TESTS / "protocol")]

from attacks_on_the_hub import ON_THE_HUB
from attacks_on_the_run import ON_THE_RUN, RunAttack
from deadlines import DEADLINE_S
from swarm import TINY, Process, command, wait_until

SERVED: dict[str, RunAttack] = {f"run: {attack.name}": attack for attack in (*ON_THE_RUN, *ON_THE_HUB)}
AFTERWARDS = "run: honest volunteer afterwards"
"""A node that joins the run that was attacked."""
PLAYER = TESTS / "swarm" / "attacks" / "attacks_on_the_run.py"


@contextlib.contextmanager
def served_run(folder: Path) -> Iterator[tuple[Path, Process]]:
    """A prepared run of two open tasks, and the process that serves it."""
    run = folder / "run"
    for arguments in (("init", str(run), "--recipe", str(TINY)), ("prepare", str(run))):
        done = command("paris-coord", *arguments)
        if done.returncode:
            raise RuntimeError(done.stderr)
    serve = Process(folder, "coordinator", "paris-coord", "serve", str(run), "--json")
    try:
        wait_until(run.joinpath("run.json").is_file, DEADLINE_S, "run.json")
        command("paris-coord", "publish-tasks", str(run))
        yield run, serve
    finally:
        serve.stop()


def play(names: list[str], seed: int) -> Iterator[dict[str, Any]]:
    """Play attacks on a run of their own, one after another; trials as attacks_seed.py prints them.

    Args:
        names: Of `SERVED`.
        seed: Names the trials; keys are new in each.
    """
    with tempfile.TemporaryDirectory() as text, served_run(Path(text)) as (run, serve):
        for name in names:
            if name == AFTERWARDS:
                yield _trial(name, seed, _join(Path(text), run))
                continue
            before = _cpu_s(serve)
            player = [sys.executable, "-W", "ignore", str(PLAYER), str(run / "run.json"), SERVED[name].name]
            done = subprocess.run(player, capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False)
            if done.returncode:
                print(f"{name} could not be played: {done.stderr[-500:]}", file=sys.stderr)
                continue
            outcome = json.loads(done.stdout.splitlines()[-1])
            del outcome["attack"]
            yield _trial(name, seed, outcome) | {"judged_cpu_s": round(_cpu_s(serve) - before, 3)}


def _trial(name: str, seed: int, outcome: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "seed": seed, "made_cpu_s": 0.0, "judged_cpu_s": 0.0, "honest_cpu_s": 0.0, **outcome}


def _join(folder: Path, run: Path) -> dict[str, Any]:
    """Whether an honest node is still served: its work is accepted."""
    join = ("paris-node", "join", str(run / "run.json"), "--threads", "1", "--device", "cpu", "--json", "--once")
    node = Process(folder, "honest", *join, "--home", str(folder / "honest"))
    try:
        told = wait_until(lambda: node.event("verdict"), DEADLINE_S, "a verdict")
    finally:
        node.stop()
    return {"refused_by": "" if told["accepted"] else "verdict", "figure": float(told["accepted"]), "bound": 1.0}


def _cpu_s(process: Process) -> float:
    """Of the coordinator and everything below it."""
    spent = [one.cpu_times() for one in process.tree() if one.status() != psutil.STATUS_ZOMBIE]
    return sum(times.user + times.system for times in spent)
