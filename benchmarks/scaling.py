"""Time and memory by expert size, batch, and number of experts.

    python -m benchmarks.scaling [--quick] [--models FOLDER] [--out FILE] [--device cuda]

size      a sampling step (top-2 of two experts, both in memory) and a training step, for each preset
batch     the same by number of rows
experts   a top-2 sampling step for K = 1 to 64, two experts in memory (see scaling_experts.py), and its peak memory

Each row of size and batch is a fresh process, so that its peak memory is its own; times of the experts part are
interleaved in one process, and only their ratios are meaningful on a machine with other load.
Writes benchmarks/results/scaling.json and scaling.png beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.made_models import made_layout, make_model
from benchmarks.memory import peak_memory
from benchmarks.record import RESULTS, as_table, write_result
from benchmarks.residency import sample_pictures
from benchmarks.scaling_experts import over_experts
from benchmarks.scaling_plot import draw
from benchmarks.training_steps import Case, Ours
from paris.experts.models.presets import model_preset


class Plan(NamedTuple):
    """Sizes and repetitions of the measurement."""

    presets: list[str]
    small: str
    """The preset of the batch and experts parts."""
    rows: int
    """Rows of the size part."""
    batches: list[int]
    counts: list[int]
    measured: list[int]
    """Numbers of experts whose memory is measured."""
    pictures: int
    """Rows of the experts part."""
    rounds: int
    device: str


def plan_for(device: str, quick: bool) -> Plan:
    """The full plan, larger on a GPU, or one that takes less than a minute."""
    if quick:
        return Plan(["dit-emoji-4", "dit-s-2"], "dit-emoji-4", 1, [1, 4], [1, 2, 8], [2, 8], 4, 1, device)
    counts, batches = [1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16]
    if device == "cpu":
        return Plan(["dit-emoji-4", "dit-s-2", "dit-b-2"], "dit-s-2", 2, batches, counts, [2, 8, 64], 8, 5, device)
    presets = ["dit-s-2", "dit-b-2", "dit-l-2", "dit-xl-2"]
    return Plan(presets, "dit-b-2", 8, batches, counts, [2, 8, 64], 8, 9, device)


def sampling_step(folder: str, preset: str, num_pictures: int, rounds: int, device: str) -> dict[str, Any]:
    """Runs in a fresh process: two experts, both resident, top-2, no guidance."""
    found = sample_pictures(
        folder, preset, 2, None, num_pictures=num_pictures, num_steps=rounds + 1, guidance=1.0, device=device
    )
    return {"step_s": found["step_s"]}


def training_step(preset: str, num_rows: int, rounds: int, device: str) -> dict[str, Any]:
    """Runs in a fresh process: forward, loss, backward, AdamW, moving average."""
    model = model_preset(preset)
    precision = "float32" if device == "cpu" else "bfloat16"
    ours = Ours.of(Case(model, num_rows, model.max_text_tokens, precision, device, compile=False))
    seconds = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        ours.forward_backward().item()
        ours.apply()
        next(ours.model.parameters()).sum().item()
        seconds.append(time.perf_counter() - begun)
    parameters = sum(parameter.numel() for parameter in ours.model.parameters())
    return {"step_s": statistics.median(seconds[1:]), "parameters": parameters}


def _measured(target: str, names: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    peak = peak_memory(f"benchmarks.scaling:{target}", **arguments)
    memory = peak.added if peak.gpu is None else peak.gpu
    return {
        "step": target.removesuffix("_step"),
        **names,
        "memory_mib": memory >> 20,
        "before_mib": peak.before >> 20,
        **{name: round(value, 4) for name, value in peak.result.items()},
    }


def both_steps(models: Path, plan: Plan, preset: str, rows: int) -> list[dict[str, Any]]:
    """A sampling and a training step of one shape and batch, each in a process of its own."""
    folder = models / f"{preset}_2"
    make_model(folder, made_layout(preset, 2))
    names = {"preset": preset, "rows": rows}
    common = {"preset": preset, "rounds": plan.rounds, "device": plan.device}
    found = [
        _measured("sampling_step", names, folder=str(folder), num_pictures=rows, **common),
        _measured("training_step", names, num_rows=rows, **common),
    ]
    for row in found:
        print(f"{row['step']} {preset}, {rows} rows: {row['step_s']:.3f} s, {row['memory_mib']} MiB", flush=True)
        row["parameters"] = found[1]["parameters"]
    return found


def experts_memory(models: Path, plan: Plan, count: int) -> dict[str, Any]:
    """Peak memory of sampling with two of K experts resident, in a process of its own."""
    peak = peak_memory(
        "benchmarks.residency:sample_pictures",
        folder=str(models / f"{plan.small}_{count}"),
        preset=plan.small,
        num_experts=count,
        resident=2,
        num_pictures=plan.pictures,
        num_steps=2,
        guidance=1.0,
        device=plan.device,
    )
    return {"experts": count, "memory_mib": (peak.added if peak.gpu is None else peak.gpu) >> 20}


def measure(models: Path, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """All three parts."""
    size = [row for preset in plan.presets for row in both_steps(models, plan, preset, plan.rows)]
    batch = [row for rows in plan.batches for row in both_steps(models, plan, plan.small, rows)]
    experts = over_experts(models, plan.small, plan.counts, plan.pictures, plan.rounds, plan.device)
    memory = [experts_memory(models, plan, count) for count in plan.measured]
    return {"size": size, "batch": batch, "experts": experts, "experts_memory": memory}


def main() -> int:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small experts, less than a minute")
    parser.add_argument("--models", type=Path, help="keep the models with random weights here")
    parser.add_argument("--out", type=Path, help="the JSON file to write; the picture is put beside it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    plan = plan_for(options.device, options.quick)
    with tempfile.TemporaryDirectory() as made:
        rows = measure(options.models or Path(made), plan)
    headings = ("experts", "way", "s_per_picture", "ratio_to_two_experts", "fetches_per_step", "hidden")
    print(as_table(headings, [[str(row[name]) for name in headings] for row in rows["experts"]]))
    path = write_result("scaling", rows, out=options.out or RESULTS / "scaling.json", plan=plan._asdict())
    print(path, draw(rows, plan.small, path.with_suffix(".png")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
