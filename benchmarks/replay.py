"""How far rounding and how far cheats carry a stretch of training away: `python -m benchmarks.replay [FOLDER]`.

A small expert is trained for some hundred steps. From several states of it, each stretch is trained once on the
reference machine (one thread) and again by each case, a process each. The distance of the two ends is what rung 5
bounds. Writes benchmarks/results/replay.json; `python -m benchmarks.replay_table` makes the table of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.record import write_result
from benchmarks.replay_stretch import make_data, make_task, train_stretch
from paris.experts.models.initial_weights import starting_expert
from paris.experts.training.commitments import scheduled_folder
from paris.experts.training.state_distance import distance
from paris.experts.weights.checkpoint import load_tensors, read_specs, save_tensors

STARTS, LENGTHS, BASE_STEPS = {"float32": (0, 300), "bfloat16": (300,)}, (1, 10, 50, 100), 300
_NOISE = 0.05


@dataclass(frozen=True)
class Case:
    """One way to train a stretch.

    Args:
        name: Shown in the table.
        kind: "honest" or "cheat".
        machine: Changed fields of MachineSettings.
        environment: Changed variables of the process.
        training: Changed fields of TrainingConfig.
        data: The cluster's folder, or one of a cheat.
        share: Of the steps that are trained at all.
    """

    name: str
    kind: str = "honest"
    machine: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: str = "own"
    share: float = 1.0


REFERENCE = Case("reference")
ROUNDING = (
    Case("again"),
    Case("2 threads", machine={"num_threads": 2}),
    Case("4 threads", machine={"num_threads": 4}),
    Case("kernels without vectors", environment={"ATEN_CPU_CAPABILITY": "default"}),
    Case("kernels for AVX2", environment={"ATEN_CPU_CAPABILITY": "avx2"}),
    Case("oneDNN for AVX2", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Case("micro-batch of 4", machine={"micro_batch_size": 4}),
    Case("checkpointing", machine={"checkpointing": True}),
    Case("compiled", machine={"compile": True}),
)
CHEATS = (
    Case("a fifth of the batch", "cheat", training={"batch_size": 4}),
    Case("half of the steps", "cheat", share=0.5),
    Case("learning rate 10 % higher", "cheat", training={"learning_rate": 1.1e-3}),
    Case("captions of others", "cheat", data="captions"),
    Case("another cluster", "cheat", data="other"),
    Case("poison in 5 % of the rows", "cheat", data="poison-5"),
    Case("poison in 1 % of the rows", "cheat", data="poison-1"),
)


def main() -> int:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        make_data(folder)
        rows = [row for precision in STARTS for row in _of_precision(folder, precision)]
    write_result("replay", rows, seeds=(7,), starts=STARTS, lengths=LENGTHS, noise=_NOISE)
    return 0


def _of_precision(folder: Path, precision: str) -> Iterator[dict[str, Any]]:
    place, training = folder / precision, {"precision": precision}
    base = {**_settings(REFERENCE, place / "base", folder, training), "start": 0, "head": None, "lengths": [BASE_STEPS]}
    train_stretch(base)
    for start in STARTS[precision]:
        head = scheduled_folder(place / "base" / "snapshots", start) if start else None
        begin = head or _public_start(place / "start", training)
        honest = _train(REFERENCE, place, folder, start, head, training)
        for case in (*ROUNDING, *CHEATS):
            ends = _train(case, place, folder, start, head, training)
            for length, end in ends.items():
                yield _row(case, precision, start, length, honest[length], end, begin)
        for length in LENGTHS:
            noisy = _with_noise(honest[length], begin, place / f"noise-{start}-{length}")
            yield _row(Case("noise of 5 %", "cheat"), precision, start, length, honest[length], noisy, begin)


def _settings(case: Case, work: Path, folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    machine = {"num_threads": 1, **case.machine}
    return {
        "work": str(work),
        "data": str(folder / case.data),
        "machine": machine,
        "training": {**training, **case.training},
    }


def _train(
    case: Case, place: Path, folder: Path, start: int, head: Path | None, training: dict[str, Any]
) -> dict[int, Path]:
    """The end of each length of stretch, claimed or true, by a process of its own."""
    work = place / f"{case.name}-{start}"
    done = {length: max(int(length * case.share), 1) for length in LENGTHS if length * case.share >= 1}
    lengths = sorted(set(done.values()))
    content = {
        **_settings(case, work, folder, training),
        "start": start,
        "head": str(head) if head else None,
        "lengths": lengths,
    }
    file = place / "case.json"
    file.write_text(json.dumps(content))
    command = [sys.executable, "-m", "benchmarks.replay_stretch", str(file)]
    subprocess.run(command, check=True, env={**os.environ, **case.environment})
    shutil.rmtree(work / "snapshots")
    return {length: work / f"after-{steps}" for length, steps in done.items()}


def _row(case: Case, precision: str, start: int, length: int, honest: Path, end: Path, begin: Path) -> dict[str, Any]:
    found = distance(honest, end, begin)
    row = {
        "case": case.name,
        "kind": case.kind,
        "precision": precision,
        "start": start,
        "steps": length,
        "weights": float(f"{found.weights:.3g}"),
        "moments": float(f"{found.moments:.3g}"),
    }
    print(json.dumps(row), flush=True)
    return row


def _public_start(folder: Path, training: dict[str, Any]) -> Path:
    task = make_task(training)
    weights = starting_expert(task.model, task.seed, None, folder).state_dict()
    for name in ("weights", "ema"):
        save_tensors(folder / f"{name}.safetensors", weights)
    return folder


def _with_noise(honest: Path, begin: Path, folder: Path) -> Path:
    """The honest end with noise on its weights, 5 % as long as the way from the start."""
    import torch

    shutil.copytree(honest, folder)
    path = folder / "weights.safetensors"
    specs = read_specs(path)
    ends, starts = load_tensors(path, specs), load_tensors(begin / "weights.safetensors", specs)
    size = sum(value.numel() for value in ends.values())
    moved = sum(float((ends[name] - starts[name]).square().sum()) for name in ends) ** 0.5
    generator = torch.Generator().manual_seed(0)
    for value in ends.values():
        value += _NOISE * moved / size**0.5 * torch.randn(value.shape, generator=generator)
    save_tensors(path, ends)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
