"""Experts trained apart against one model of the same training compute, on real data.

    python -m benchmarks.quality --work FOLDER             three data sets, three seeds, and the variants
    python -m benchmarks.quality --work FOLDER --tuning    also other learning rates and numbers of experts
    python -m benchmarks.quality --work FOLDER --quick     every stage in minutes, to test the command
    python -m benchmarks.quality --work FOLDER --datasets digits --seeds 0 --ideas-on

One monolith with the whole batch against K experts with a K-th of the batch each, for the same number of steps; the
monolith also gets the compute of the experts' router. Architecture, solver, prompts and noise are equal. Both are
sampled without guidance and at their own best guidance scale. Distances are Frechet distances on features of a
classifier trained on the data: not "FID", and comparable only within a data set.

After an interruption run the same command again: finished parts in FOLDER are kept. Writes
benchmarks/results/quality.json after each data set and seed; `python -m benchmarks.quality_report` makes
docs/quality.md and its pictures of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.quality_figures import best_scales, kept_pictures, measure
from benchmarks.quality_plan import IDEAS, QUICK_PLAN, Plan, Question, compared, full_plan, warm_arm
from benchmarks.record import write_result
from benchmarks.small.arms import arm
from benchmarks.small.calibration import calibration_by_noise
from benchmarks.small.clusters import write_clusters
from benchmarks.small.datasets import DATASETS, load_split
from benchmarks.small.grid import save_grid
from benchmarks.small.judge import open_judge, open_scout
from benchmarks.small.losses import losses_by_cluster
from benchmarks.small.train import clusterings_of, prepare, train, training_seconds
from benchmarks.small.ways import ALONE, NUM_STEPS, SOLVER
from paris.experts.errors import ExpertError

_SHOWN = ("ancestral", "top2+prompt", "top2", "full")


def measure_folder(work: Path, plan: Plan, dataset: str, seed: int, jobs: int) -> dict[str, Any]:
    """Train and measure one data set with one seed.

    Args:
        work: The benchmark's folder.
        plan: What is asked.
        dataset: Its name.
        seed: Of training.
        jobs: Processes at a time.
    """
    folder, settings, questions = (
        work / f"{dataset}-{seed}",
        plan.settings(dataset, seed),
        plan.questions(dataset, seed),
    )
    arms = [arm(name, settings) for name in dict.fromkeys(question.arm for question in questions)]
    prepare(folder, settings, clusterings_of(arms))
    train(folder, arms, jobs)
    guided = [question for question in questions if question.is_guided]
    scales = best_scales(work / f"{dataset}-{plan.seeds[0]}", guided, jobs)
    rows = measure(folder, questions, scales, jobs)
    one, semantic = compared(dataset, settings.experts)
    warm = arm(warm_arm(dataset, settings.experts), settings)
    save_grid(
        folder / "samples.png",
        kept_pictures(folder, [Question(one, ALONE), *(Question(semantic, way) for way in _SHOWN)]),
    )
    judge = open_judge(folder, settings)
    distances = {row["is_guided"]: row["frechet"] for row in rows if row["arm"] == one}
    clustering = arm(semantic, settings).clustering
    clusters = write_clusters(folder, clustering, settings, load_split(dataset), open_scout(folder, settings))
    return {
        "dataset": dataset,
        "seed": seed,
        "monolith": one,
        "experts": semantic,
        "warm": warm.name,
        "settings": settings.to_settings(),
        "guidance_scales": scales,
        "floor": round(judge.floor_of(settings.samples), 3),
        "clusters": clusters,
        "losses_by_cluster": losses_by_cluster(folder, arm(semantic, settings), arm(one, settings).parts[0]),
        "losses_after_start": losses_by_cluster(folder, warm, warm.starts[0]),
        "calibration": calibration_by_noise(folder, clustering),
        "figures": [{**row, "of_monolith": round(row["frechet"] / distances[row["is_guided"]], 4)} for row in rows],
        "process_s": {
            "training": training_seconds(folder, arms),
            "figures": round(sum(row.get("seconds", 0.0) for row in rows), 1),
        },
    }


def main() -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is trained; gone on with")
    parser.add_argument("--quick", action="store_true", help="every stage in minutes, on blurs")
    parser.add_argument("--datasets", nargs="+", choices=tuple(DATASETS), default=tuple(DATASETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--ideas-on", nargs="*", choices=tuple(DATASETS), default=("digits",))
    parser.add_argument("--ideas", nargs="+", choices=IDEAS, default=IDEAS, help="which of them; all")
    parser.add_argument("--tuning", action="store_true", help="also the rates and K that were tried: over an hour")
    parser.add_argument("--steps", type=int, help="optimizer steps of each expert, if not the data set's own")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, each of one thread")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    given = parser.parse_args()
    full = full_plan(given.datasets, given.seeds, given.ideas_on, given.ideas, given.steps, is_tuning=given.tuning)
    plan = QUICK_PLAN if given.quick else full
    out = given.out or (given.work / "quality.json" if given.quick else None)
    rows = []
    try:
        for seed in plan.seeds:
            for dataset in plan.datasets:
                rows.append(measure_folder(given.work, plan, dataset, seed, given.jobs))
                # After each, so that an interruption loses little work.
                sampling = {"steps": NUM_STEPS, "solver": SOLVER}
                print(write_result("quality", rows, seeds=plan.seeds, out=out, sampling=sampling), flush=True)
    except ExpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
