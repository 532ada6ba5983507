"""One expert, or the monolith, through `ExpertTraining`: the very code that a volunteer's machine runs.

<folder>/work/expert-0/snapshots ...  expert.safetensors        gone on with where it stopped
<folder>/work/monolith/...
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.digits.clusters import read_clusters, training_shard
from benchmarks.digits.settings import DigitsSettings, read_settings
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.training.expert_training import ExpertTraining, Progress, TrainingTask

MONOLITH = "monolith"
_REPORT_EVERY = 50


def part_names(settings: DigitsSettings, *, with_monolith: bool) -> list[str]:
    """What is to be trained, the longest first."""
    experts = [f"expert-{k}" for k in range(settings.experts)]
    return [MONOLITH, *experts] if with_monolith else experts


def weights_of(folder: Path, part: str) -> Path:
    """Where a trained part has its weights."""
    return folder / "work" / part / "expert.safetensors"


def train_part(folder: Path, part: str, say: Callable[[str], None] = print) -> None:
    """Train one part to the end, or do nothing where that is done. Takes the process for itself.

    Args:
        folder: The benchmark's folder, with its shards.
        part: "expert-0", ..., or "monolith".
        say: Told a line now and then.
    """
    if weights_of(folder, part).is_file():
        return
    settings, data = read_settings(folder), folder / "data"
    clusters = range(settings.experts) if part == MONOLITH else [int(part.rpartition("-")[2])]
    shards = [training_shard(data, k) for k in clusters]
    every = read_clusters(data, settings.experts)
    task = TrainingTask(
        run_id="digits",
        seed=settings.seed,
        task_id=part,
        model=settings.model,
        training=settings.training(is_monolith=part == MONOLITH),
        text=settings.text,
        codec=CodecConfig(),
        shard_rows=tuple(every[k].shard_rows[0] for k in clusters),
    )
    losses: list[tuple[int, float]] = []

    def report(progress: Progress) -> None:
        if progress.loss is not None:
            losses.append((progress.step, progress.loss))
        if progress.step % 500 == 0 and progress.loss is not None:
            speed = f"{progress.steps_per_s:.1f} steps/s"
            say(f"{part}: step {progress.step} of {progress.steps}, loss {progress.loss:.4f}, {speed}")

    began = time.monotonic()
    work = folder / "work" / part
    training = ExpertTraining(task, work, lambda i: shards[i], data, "cpu", 1, _REPORT_EVERY)
    training.run(report, lambda: False)
    facts = {"losses": losses, "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts).encode())
