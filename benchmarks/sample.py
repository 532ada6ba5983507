"""Sampling eight prompts at guidance 7.5 from eight DiT-B/2, compared with a plain loop and with 50 Euler steps.

    python -m benchmarks.sample --digits FOLDER [--quick] [--parts equal quality memory] [--out FILE]

equal    equal pictures, against the plain per-image loop over experts: top-2, 20 steps, 7 minutes on one core
quality  equal quality: the cheapest settings as good on a trained small model as 50 Euler steps of top-2 (FOLDER comes
         from benchmarks.small.train), and the ratio of their times at full size
memory   two experts resident, the others on disk: peak memory, and the share of loading hidden (benchmarks.residency)

Full-size weights are random, because time does not depend on their values. Writes benchmarks/results/sample.json; parts
that are not measured keep their earlier results and command.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.made_models import made_layout, make_model
from benchmarks.record import RESULTS, command_of, write_result
from benchmarks.residency import measure as measure_memory
from benchmarks.sample_equal import GUIDANCE_SCALE, compare
from benchmarks.sample_models import RandomModel, random_model
from paris.experts.models.presets import model_preset
from paris.experts.training.machine import keep_freed_memory

NUM_PROMPTS, NUM_EXPERTS = 8, 8
_PARTS = ("equal", "quality", "memory")


def quality(folder: Path, model: RandomModel, num_pictures: int) -> dict[str, Any]:
    """The cheapest settings of equal quality, their distances, and their time at full size.

    The reference is 50 Euler steps of top-2 at two guidance scales: the small model's best, where the distance is most
    sensitive to sampling, and 7.5, which is too strong for so small a model. The search uses the first; the result is
    then compared at the second as well.

    Args:
        folder: Output of `benchmarks.small.train`.
        model: The large model.
        num_pictures: Pictures per distance.
    """
    from benchmarks.sample_quality import ALLOWED, REFERENCE
    from benchmarks.sample_replay import race, traced
    from benchmarks.sample_search import CHECK_SEED, SEARCH_SEED, Measurements, best_scale, search
    from benchmarks.small.folder import load

    digits = load(folder)
    measured = Measurements(digits, num_pictures)
    own = REFERENCE.with_overrides(guidance_scale=best_scale(measured))
    found = search(measured, measured.of(own)).settings
    at_7_5 = found.with_overrides(guidance_scale=GUIDANCE_SCALE)
    pairs = {"own": (own, found), "7.5": (REFERENCE, at_7_5)}
    rows, equal = [], {}
    for name, pair in pairs.items():
        for seeds, first_seed in (("search", SEARCH_SEED), ("check", CHECK_SEED)):
            reference, fast = (measured.of(settings, first_seed) for settings in pair)
            equal[f"{name}, {seeds}"] = {"equal": fast.equals(reference), "of": fast.distance / reference.distance}
            rows += [reference.row(f"reference, {name}, {seeds}"), fast.row(f"fast, {name}, {seeds}")]
    ways = {"reference": REFERENCE, "fast": at_7_5}
    traces = {name: (way, traced(digits, way, NUM_PROMPTS, SEARCH_SEED)) for name, way in ways.items()}
    return {
        "num_pictures": num_pictures,
        "allowed": ALLOWED,
        "floor": round(digits.judge.floor_of(num_pictures), 3),
        "judged": rows,
        "equal": equal,
        "full_size": race(model, traces),
    }


def memory(preset: str, models: Path | None, num_steps: int) -> dict[str, Any]:
    """Peak memory with two of eight experts resident; see `benchmarks.residency`."""
    with tempfile.TemporaryDirectory() as made:
        folder = (models or Path(made)) / preset
        expert_bytes = make_model(folder, made_layout(preset, NUM_EXPERTS))
        settings = {"num_experts": NUM_EXPERTS, "num_pictures": NUM_PROMPTS, "num_steps": num_steps}
        return measure_memory(folder, preset, 2, expert_bytes, **settings)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=Path, help="a folder of benchmarks.small.train, for the part quality")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--steps", type=int, default=20, help="of the part equal")
    parser.add_argument("--pictures", type=int, default=2000, help="of each distance")
    parser.add_argument("--models", type=Path, help="keep the files of the part memory here")
    parser.add_argument("--quick", action="store_true", help="a small model, few steps and pictures")
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    if "quality" in options.parts and options.digits is None:
        parser.error("the part quality needs --digits, or leave it out by --parts equal memory")
    keep_freed_memory()
    preset = "dit-emoji-4" if options.quick else "dit-b-2"
    path = options.out or RESULTS / "sample.json"
    before = json.loads(path.read_bytes()) if path.is_file() else {}
    rows = measure_parts(options, preset)
    print(rows)
    now = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "command": command_of("sample")}
    print(
        write_result(
            "sample",
            {**before.get("rows", {}), **rows},
            out=path,
            preset=preset,
            experts=NUM_EXPERTS,
            prompts=NUM_PROMPTS,
            guidance_scale=GUIDANCE_SCALE,
            threads=torch.get_num_threads(),
            measured={**before.get("measured", {}), **dict.fromkeys(rows, now)},
        )
    )
    return 0


def measure_parts(options: argparse.Namespace, preset: str) -> dict[str, Any]:
    """The parts that are asked for.

    Args:
        options: Of the command.
        preset: Of the experts at full size.
    """
    rows: dict[str, Any] = {}
    if "memory" in options.parts:
        rows["memory"] = memory(preset, options.models, 2 if options.quick else 4)
    if "equal" in options.parts or "quality" in options.parts:
        model = random_model(model_preset(preset), made_layout(preset, NUM_EXPERTS).router, NUM_EXPERTS, NUM_PROMPTS)
        if "equal" in options.parts:
            rows["equal"] = compare(model, 2 if options.quick else options.steps)
        if "quality" in options.parts:
            rows["quality"] = quality(options.digits, model, 100 if options.quick else options.pictures)
    return rows


if __name__ == "__main__":
    sys.exit(main())
