"""Plays one run with faults, and prints what came of it: python tests/swarm/faults/play.py TEMPLATE SEED FAULT...

TEMPLATE is what `world.make_template` made. As root on Linux the run has network and mounts of its own: `played` sees
to that.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS.parent), *(str(TESTS / place) for place in (".", "swarm", "swarm/faults", "node"))]

from deadlines import DEADLINE_S  # noqa: E402 - found by the path above
from fault import Fault, why_no_namespace  # noqa: E402
from faults_of_machines import MACHINE_FAULTS  # noqa: E402
from faults_of_processes import PROCESS_FAULTS  # noqa: E402
from run_invariants import INVARIANTS, end_of, few_steps_are_lost  # noqa: E402
from world import ENDED, World  # noqa: E402

FAULTS = {**PROCESS_FAULTS, **MACHINE_FAULTS}
"""Makes each kind, by its name."""
_BETWEEN_S = 1.0
"""Longest time from a moment to its fault, so that it may fall between snapshots."""
_OWN_NETWORK = ("unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def make_fault(name: str) -> Fault:
    """A fault of a kind of `FAULTS`."""
    return FAULTS[name](name)


def faults_of(seed: int, number: int) -> list[str]:
    """The kinds of a seed's run: from decks of all kinds, shuffled anew, of which consecutive seeds take the next."""
    places = range(seed * number, (seed + 1) * number)
    decks = {place // len(FAULTS) for place in places}
    shuffled = {deck: random.Random(deck).sample(list(FAULTS), len(FAULTS)) for deck in decks}
    return list(dict.fromkeys(shuffled[place // len(FAULTS)][place % len(FAULTS)] for place in places))


def play(template: Path, seed: int, names: list[str]) -> dict[str, Any]:
    """Play a run; what was done, what is wrong, and what was lost.

    Raises:
        AssertionError: Something did not happen within the deadline.
    """
    with tempfile.TemporaryDirectory(prefix="paris-faults-") as folder:
        world = World(Path(folder), template, seed)
        faults = [make_fault(name) for name in names]
        moments = sorted((world.random.randint(fault.first, fault.last), i) for i, fault in enumerate(faults))
        for fault in faults:
            fault.prepare(world)
        done: dict[str, str] = {}
        wrong, lost = [], 0
        try:
            world.start()
            for moment, i in moments:
                world.wait_for(moment)
                world.last(0, _BETWEEN_S)
                done[faults[i].name] = _inflict(faults[i], world)
            world.wait_end()
            end = end_of(world)
            lost = end.lost_steps
            allowed = max((fault.may_lose for fault in faults), default=0)
            wrong += [f"{check.__name__}: {found}" for check in INVARIANTS if (found := check(end))]
            wrong += [f"few_steps_are_lost: {found}"] if (found := few_steps_are_lost(end, allowed)) else []
        except AssertionError as error:
            wrong.append(f"not ended: {error}")
            wrong += [f"{log.name}: {log.read_text('utf-8')[-1500:]}" for log in Path(folder).glob("*.log")]
            wrong.append(f"last events: {world.events[-3:]}")
        finally:
            left = world.close()
        wrong += [f"left over: {line}" for line in left]
        _unmount(world.home)
    return {"seed": seed, "faults": names, "done": done, "lost_steps": lost, "wrong": wrong}


def _inflict(fault: Fault, world: World) -> str:
    if world.reached() >= ENDED:
        return ""
    try:
        return fault.inject(world)
    finally:
        fault.heal(world)


def _unmount(home: Path) -> None:
    if home.is_mount():
        subprocess.run(["umount", "--lazy", str(home)], check=True, timeout=DEADLINE_S)


def played(template: Path, seed: int, names: list[str]) -> dict[str, Any]:
    """Play a run in a process of its own; as `play`, with `cpu_s`, the processor time of its processes
    but those that lost their parent, and `left_out`, the kinds that this machine cannot play, with reasons.

    Raises:
        RuntimeError: It could not be played.
        subprocess.TimeoutExpired: It did not end.
    """
    own = () if why_no_namespace() else _OWN_NETWORK
    line = [*own, sys.executable, "-W", "ignore", str(Path(__file__).resolve()), str(template), str(seed), *names]
    done = subprocess.run(line, capture_output=True, text=True, timeout=4 * DEADLINE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"seed {seed} could not be played: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(template: str, seed: str, *names: str) -> None:
    """Play, and print one line of JSON."""
    left_out = {name: reason for name in names if (reason := make_fault(name).why_not())}
    outcome = play(Path(template), int(seed), [name for name in names if name not in left_out])
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in spent)
    print(json.dumps({**outcome, "left_out": left_out, "cpu_s": round(cpu_s, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
