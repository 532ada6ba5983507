"""Attacks by auditors, for `benchmarks.attacks`: played by the coordinator's decisions, with nothing trained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.attacks_seed import TESTS

sys.path += [str(TESTS), str(TESTS / "protocol"), str(TESTS / "swarm" / "attacks")]

from attacks_by_auditors import BY_AUDITORS, AuditAttack

AUDITED: dict[str, AuditAttack] = {f"audit: {attack.name}": attack for attack in BY_AUDITORS}


def play(names: list[str], seed: int) -> Iterator[dict[str, Any]]:
    """Play attacks, each in a run of its own; trials as attacks_seed.py prints them.

    Args:
        names: Of `AUDITED`.
        seed: Of lots, baits and sketches.
    """
    for name in names:
        run, outcome = AUDITED[name].play(seed)
        costs = {"made_cpu_s": 0.0, "judged_cpu_s": round(run.cpu_s, 4), "honest_cpu_s": 0.0}
        yield {"name": name, "seed": seed, **asdict(outcome), **costs}
