"""Train the digits: `python -m benchmarks.digits.train --out FOLDER [--quick] [--experts 4] [--seed 0] [--monolith]`.

Each stage is skipped where the folder has its result, and training goes on from its last snapshot: start the same
command again after any interruption.

<folder>/model/  monolith/        models in the published layout
<folder>/figures.json             what was measured
<folder>/samples.png              digits to look at
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.digits.clusters import write_clusters
from benchmarks.digits.data import load_split
from benchmarks.digits.experts import MONOLITH, part_names, train_part
from benchmarks.digits.features import load_classifier, save_classifier, train_classifier
from benchmarks.digits.folder import load
from benchmarks.digits.grid import save_grid
from benchmarks.digits.model import write_models
from benchmarks.digits.routers import ROUTER, train_routers
from benchmarks.digits.settings import QUICK, DigitsSettings, keep_settings
from benchmarks.record import described_machine
from paris.experts.errors import ExpertError
from paris.experts.files import write_whole

_GUIDANCE = (1.0, 1.5, 2.5, 7.5)


def prepare(folder: Path, settings: DigitsSettings) -> None:
    """The classifier, the clusters and their shards."""
    data = folder / "data"
    if (data / "clusters.json").is_file():
        return
    torch.set_num_threads(1)  # so small a network is only slowed by more, and its sums would not be the same
    training, heldout = load_split(settings.seed)
    if not (data / "classifier.safetensors").is_file():
        classifier = train_classifier(training, settings.seed, settings.classifier_epochs)
        save_classifier(data / "classifier.safetensors", classifier)
    classifier = load_classifier(data / "classifier.safetensors")
    facts = write_clusters(data, settings, training, heldout, classifier)
    accuracy = (classifier.classify(heldout.pictures) == heldout.labels).mean()
    print(f"classifier: {accuracy:.1%} of {len(heldout)} held-out digits; clusters of {facts['sizes']}", flush=True)


def train(folder: Path, settings: DigitsSettings, *, with_monolith: bool, jobs: int) -> None:
    """Every part in a process of its own, `jobs` at a time, as on machines that know nothing of each other."""
    parts = [*part_names(settings, with_monolith=with_monolith), ROUTER]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for running in [pool.submit(_train_one, folder, part) for part in parts]:
            running.result()
    write_models(folder, settings, with_monolith=with_monolith)


def judge(folder: Path, *, with_monolith: bool, jobs: int) -> dict[str, Any]:
    """Sample with several guidance scales, `jobs` at a time, measure, and draw the grid."""
    digits = load(folder)
    num, steps = digits.settings.samples, digits.pipeline.sampling.num_steps
    names = ["experts", MONOLITH] if with_monolith else ["experts"]
    rows, blocks = [], []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = [(name, scale, pool.submit(_draw, folder, name, scale)) for name in names for scale in _GUIDANCE]
        for name, scale, drawn in running:
            pictures, labels, seconds = drawn.result()
            found = digits.judge.figures(pictures, labels)
            rows.append({"model": name, "guidance_scale": scale, "num_steps": steps, **found, "seconds": seconds})
            blocks.append((f"{name}, guidance {scale}", pictures))
            print(json.dumps(rows[-1]), flush=True)
    save_grid(folder / "samples.png", blocks)
    floors = {which: round(digits.judge.floor_of(num, which), 3) for which in ("heldout", "train")}
    return {"floor": {"num_samples": num, **floors}, "samples": rows}


def main() -> int:
    """All stages, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make, or to go on with")
    parser.add_argument("--quick", action="store_true", help="a minute in all: every stage, blurred digits")
    parser.add_argument("--experts", type=int, default=4, help="clusters, and experts; 64 is a multiple of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clusters-by", choices=("features", "pixels"), default="features")
    parser.add_argument("--monolith", action="store_true", help="also one model of the same compute")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, each of one thread")
    given = parser.parse_args()
    try:
        wanted = {"experts": given.experts, "seed": given.seed, "clusters_by": given.clusters_by}
        settings = DigitsSettings.from_settings({**wanted, **(QUICK if given.quick else {})})
        keep_settings(given.out, settings)
        began = time.monotonic()
        prepare(given.out, settings)
        train(given.out, settings, with_monolith=given.monolith, jobs=given.jobs)
        found = judge(given.out, with_monolith=given.monolith, jobs=given.jobs)
    except ExpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    _keep_figures(given.out, settings, {**found, "seconds": round(time.monotonic() - began, 1)})
    return 0


def _train_one(folder: Path, part: str) -> None:
    if part == ROUTER:
        train_routers(folder)
    else:
        train_part(folder, part)


def _draw(folder: Path, name: str, guidance_scale: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Samples, their digits, and the seconds that they took; one thread, like every process here."""
    torch.set_num_threads(1)
    digits = load(folder)
    pipeline = digits.monolith() if name == MONOLITH else digits.pipeline
    began = time.monotonic()
    pictures, labels = digits.draw(digits.settings.samples, pipeline, guidance_scale=guidance_scale)
    return pictures, labels, round(time.monotonic() - began, 1)


def _keep_figures(folder: Path, settings: DigitsSettings, found: dict[str, Any]) -> None:
    """figures.json: settings, clusters, what each part took, what the samples are worth."""
    parts = {path.parent.name: json.loads(path.read_bytes()) for path in sorted(folder.glob("work/*/report.json"))}
    router = parts.pop(ROUTER)
    content = {
        "settings": settings.to_settings(),
        "clusters": json.loads((folder / "data" / "clusters.json").read_bytes()),
        "machine": described_machine(),
        "training": {name: {"seconds": one["seconds"], "loss": one["losses"][-1][1]} for name, one in parts.items()},
        "router": {name: router[name] for name in ("accuracy", "accuracy_by_noise", "chance", "seconds")},
        **found,
    }
    write_whole(folder / "figures.json", (json.dumps(content, indent=1) + "\n").encode())
    print(f"Figures in {folder / 'figures.json'}, digits to look at in {folder / 'samples.png'}.")


if __name__ == "__main__":
    sys.exit(main())
