"""Training on the organiser's own machine, on the shards of all clusters: a common start, a student of the experts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from paris.coordinator.console import print_json, progress_bar, say
from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.experts.data.shards import ShardFile
from paris.experts.errors import ShardError
from paris.experts.models.presets import ModelConfig
from paris.experts.training.batches import Batch, Batches
from paris.experts.training.config import Finished, Progress, TrainingTask
from paris.experts.training.expert_training import ExpertTraining


class RunShard(NamedTuple):
    """A shard of a run, as `prepare` wrote it."""

    path: Path
    cluster: int
    rows: int


def run_shards(run: RunDir, model: ModelConfig) -> list[RunShard]:
    """All shards of the run, cluster after cluster.

    Args:
        run: A prepared run.
        model: What is to read them.

    Raises:
        NotReadyError: Some are missing.
        ShardError: They hold rows of another shape than the model reads.
    """
    shards = [
        RunShard(run.data / shard.path, manifest.cluster, shard.rows)
        for manifest in load_manifests(run)
        for shard in manifest.shards
    ]
    missing = [shard.path for shard in shards if not shard.path.is_file()]
    if missing:
        raise NotReadyError(
            f"{len(missing)} of {len(shards)} shards are missing, such as {missing[0]}.",
            f"Fetch them from {run.config.hub.data_repo}, or prepare again.",
        )
    wanted, path = (model.in_channels, model.image_size, model.image_size), shards[0].path
    if (found := ShardFile(path).shape) != wanted:
        raise ShardError(
            f"{path} holds rows of shape {list(found)}, the experts read {list(wanted)}.",
            "Data and [model] must be of one run.",
        )
    return shards


@dataclass(frozen=True)
class Place:
    """Where a training happens, what it is called there, and what takes the place of its batches."""

    title: str
    """What is shown beside the progress, such as "distilling"."""
    work: Path
    """Folder of its snapshots; given again, training goes on."""
    device: str
    lessons: Callable[[Batches], Callable[[int], Batch]] | None = None
    """As `ExpertTraining` takes them."""


def train_on_all(
    run: RunDir,
    task: TrainingTask,
    shards: Sequence[RunShard],
    place: Place,
    should_stop: Callable[[], bool],
    *,
    as_json: bool,
) -> Finished:
    """Train from where it stands to the end, or until it is told to stop, which it then says.

    Args:
        run: The run.
        task: What is trained, on the rows of all shards in this order.
        shards: From `run_shards`.
        place: Where.
        should_stop: Asked after each step; True saves and returns.
        as_json: Progress as JSON lines on stdout.

    Raises:
        ExpertError: As `ExpertTraining.run` raises; the last snapshot is kept.
    """
    training = ExpertTraining(
        task,
        place.work,
        [shard.path for shard in shards].__getitem__,
        run.data,
        place.device,
        run.config.compute.num_threads or torch.get_num_threads(),
        lessons=place.lessons,
    )
    with progress_bar(place.title, task.steps, shown=not as_json) as show:

        def report(progress: Progress) -> None:
            show(progress.step)
            if progress.note:
                say(progress.note)
            if as_json:
                told = {"step": progress.step, "steps": task.steps, "loss": progress.loss}
                print_json({"at": time.time(), "event": "progress", **told})

        finished = training.run(report, should_stop)
    if not finished.is_complete:
        if as_json:
            print_json({"at": time.time(), "event": "stopped", "step": finished.step, "steps": task.steps})
        say(f"Stopped at step {finished.step} of {task.steps}. The same command goes on.")
    return finished
