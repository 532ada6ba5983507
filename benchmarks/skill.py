"""How far honest experts are from a reference, and how few steps are told apart from all: `python -m benchmarks.skill`.

Experts of the verification tests' small runs, with orders and noises of their own, are held to each other's curves at
each tenth of the steps, by the mean losses that the skill rung compares. From the initial weights and from a common
start.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "coordinator" / "verify"))

from reference_curves import case_of, curve
from verify_world import MODEL, NUM_CLUSTERS, STEPS, World, make_data

from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.curves import ReferenceCurve
from paris.coordinator.verify.reference import Trace
from paris.coordinator.verify.scoring import Losses, Scoring, SecretRows
from paris.experts.objectives.objectives import FLOW_MATCHING

SEEDS, EVERY = 3, STEPS // 10
SHARE = VerificationBounds().min_reference_share
FEWER = (0.05, 0.25, 0.5, 0.6, 0.7, 0.9)


def measure(world: World) -> dict[str, Any]:
    """Honest experts and lazy ones against each other's curves."""
    scoring = Scoring(SecretRows.of(case_of(world, 0)), MODEL)
    start = scoring.losses(world.initial(), scoring.clusters, FLOW_MATCHING)
    rooms, claims, refused = [], [], {share: [0, 0] for share in FEWER}
    for cluster in range(NUM_CLUSTERS):
        curves = [curve(world, cluster, f"seed-{seed}", EVERY) for seed in range(SEEDS)]
        for judged, reference in itertools.permutations(curves, 2):
            for step in range(2 * EVERY, STEPS + 1, EVERY):
                bar = highest_loss(reference, start, step)
                rooms.append(bar / mean_loss(judged, start, step) - 1)
                for share, counts in refused.items():
                    counts[0] += mean_loss(judged, start, share * step) > bar
                    counts[1] += 1
            pairs = zip(judged.points[1:], reference.points[1:], strict=True)
            claims += [max(a.training_loss / b.training_loss, b.training_loss / a.training_loss) for a, b in pairs]
    return {
        "honest_comparisons": len(rooms),
        "honest_refused": sum(room < 0 for room in rooms),
        "smallest_room": round(min(rooms), 4),
        "largest_claim_ratio": round(max(claims), 4),
        "refused_by_share_of_steps": {str(share): f"{hit} of {total}" for share, (hit, total) in refused.items()},
    }


def highest_loss(reference: ReferenceCurve, start: Losses, step: int) -> float:
    """The bar: the highest loss between most of the steps and all."""
    trace = Trace(reference, start)
    return max(float(trace.losses(at, reference.cluster).mean()) for at in trace.steps(SHARE * step, step))


def mean_loss(judged: ReferenceCurve, start: Losses, step: float) -> float:
    """Of an expert after some steps, on its own cluster."""
    return float(Trace(judged, start).losses(step, judged.cluster).mean())


def main() -> None:
    """Measure, print, and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        world = World(folder, "http://127.0.0.1:1", "")
        found = {"from the initial weights": measure(world), "from a common start": measure(world.warm(STEPS // 5))}
    print(json.dumps(found, indent=1))
    write_result("skill", found, seeds=range(SEEDS))


if __name__ == "__main__":
    main()
