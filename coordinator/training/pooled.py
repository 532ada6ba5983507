"""Training on the organiser's machine, on the shards of all clusters or of one: warm start, student, reference."""

from __future__ import annotations

import logging
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
from paris.experts.training.machine import MachineSettings

logger = logging.getLogger(__name__)


class PooledShard(NamedTuple):
    """A local shard and the cluster that it belongs to."""

    path: Path
    cluster: int
    rows: int


def pooled_shards(run: RunDir, model: ModelConfig) -> list[PooledShard]:
    """List the shards of all clusters, in the order of clusters.

    Args:
        run: A prepared run.
        model: The model that will read the shards.

    Raises:
        NotReadyError: A shard is missing.
        ShardError: The rows have another shape than the model's input.
    """
    shards = [
        PooledShard(run.data / shard.path, manifest.cluster, shard.rows)
        for manifest in load_manifests(run)
        for shard in manifest.shards
    ]
    missing = [shard.path for shard in shards if not shard.path.is_file()]
    if missing:
        raise NotReadyError(
            f"{len(missing)} of {len(shards)} shards are missing, such as {missing[0]}.",
            f"Download them from {run.config.hub.data_repo}, or run `paris-coord prepare` again.",
        )
    expected, path = (model.in_channels, model.image_size, model.image_size), shards[0].path
    if (shape := ShardFile(path).shape) != expected:
        raise ShardError(
            f"{path} has rows of shape {list(shape)}, the model reads {list(expected)}.",
            "The shards and the [model] table must belong to the same run.",
        )
    return shards


@dataclass(frozen=True)
class PooledTraining:
    """One training on shards of one or several clusters."""

    title: str
    """Title of the progress bar, such as "distilling"."""
    task: TrainingTask
    """Its `shard_rows` are those of `shards`, in the same order."""
    shards: Sequence[PooledShard]
    work_dir: Path
    """Folder of the snapshots; training resumes from the last one."""
    device: str
    with_targets: Callable[[Batches], Callable[[int], Batch]] | None = None
    """Passed to `ExpertTraining`."""
    on_progress: Callable[[Progress], None] | None = None
    """Called at the start, every few steps, and after each scheduled snapshot."""


def train_pooled(run: RunDir, training: PooledTraining, should_stop: Callable[[], bool], *, as_json: bool) -> Finished:
    """Train from the last snapshot to the last step, or until stopped.

    Args:
        run: The run.
        training: What to train, on which shards, where.
        should_stop: Called after each step; True saves a snapshot and returns.
        as_json: Print progress as JSON lines on stdout instead of a bar on stderr.

    Raises:
        ExpertError: Training failed; the last snapshot is kept.
    """
    task = training.task
    logger.info("Training %s: %d steps on %s.", task.task_id, task.steps, training.device)
    expert_training = ExpertTraining(
        task,
        training.work_dir,
        [shard.path for shard in training.shards].__getitem__,
        run.data,
        MachineSettings(device=training.device, num_threads=run.config.compute.num_threads or torch.get_num_threads()),
        with_targets=training.with_targets,
    )
    with progress_bar(training.title, task.steps, shown=not as_json) as show_step:

        def on_progress(progress: Progress) -> None:
            show_step(progress.step)
            if progress.note:
                say(progress.note)
            if as_json:
                _print_event("progress", step=progress.step, steps=task.steps, loss=progress.loss)
            if training.on_progress is not None:
                training.on_progress(progress)

        finished = expert_training.run(on_progress, should_stop)
    if not finished.is_complete:
        if as_json:
            _print_event("stopped", step=finished.step, steps=task.steps)
        say(f"Stopped at step {finished.step} of {task.steps}. Run the same command to resume.")
    return finished


def _print_event(event: str, **fields: object) -> None:
    print_json({"at": time.time(), "event": event, **fields})
