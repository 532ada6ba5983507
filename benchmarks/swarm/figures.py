"""What came of one simulated run."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.swarm.paris import Paris
from benchmarks.swarm.replicas import Replicas
from benchmarks.swarm.scheme import Result, Setup
from benchmarks.swarm.volunteers import DAY_S
from benchmarks.swarm.world import Tally, World
from paris.coordinator.state.store import Store


def simulate(setup: Setup) -> dict[str, Any]:
    """Simulate a run.

    Args:
        setup: What is simulated.

    Returns:
        The setup's fields, and what came of it.
    """
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder) / "state.sqlite")) as store:
        scheme = Paris(setup, store) if setup.scheme == "paris" else Replicas(setup)
        tally = World(setup, scheme).run()
        return {**dataclasses.asdict(setup), **figures(setup, tally, scheme.result, is_done=scheme.is_done())}


def figures(setup: Setup, tally: Tally, result: Result, *, is_done: bool) -> dict[str, Any]:
    """The figures of a run.

    Args:
        setup: What was simulated.
        tally: What the volunteers did.
        result: What the scheme counted.
        is_done: Whether all experts are there.
    """
    total = tally.trained + result.replayed_steps
    kept = result.verified_steps - result.wrong_steps
    found = tally.cheats & result.refused
    days = tally.ended_at / DAY_S
    return {
        "makespan_days": round(days, 3) if is_done else None,
        "verified_share": round(result.verified_steps / (setup.experts * setup.steps), 4),
        # Of several lanes all work is in the mean, which the verified steps do not show.
        "wasted_share": round(1 - kept / total, 4) if is_done and setup.lanes == 1 else None,
        "audited_share": round(tally.audited / total, 4) if total else 0.0,
        "replayed_share": round(result.replayed_steps / total, 4) if total else 0.0,
        "switched_off_share": round(tally.switched_off / total, 4) if total else 0.0,
        "given_up_share": round(tally.given_up / total, 4) if total else 0.0,
        "wrong_share": round(result.wrong_steps / max(1, result.verified_steps), 4) if setup.lanes == 1 else None,
        "with_work_share": round(tally.busy_s / tally.on_s, 4) if tally.on_s else 0.0,
        "present": round(tally.on_s / tally.ended_at, 1) if tally.ended_at else 0.0,
        "cheats": len(tally.cheats),
        "cheats_found": len(found),
        "honest_work_refused": result.refused_honest,
        "ticks": result.ticks,
        "tick_cpu_ms": round(1e3 * result.cpu_s / max(1, result.ticks), 3),
        "save_cpu_ms": round(1e3 * statistics.median(result.saves), 3) if result.saves else None,
    }
