"""Training the router: which cluster does a noisy row come from? Done last, by the organiser, on all clusters.

<work_dir>/snapshots/...          see snapshots.py
<work_dir>/micro_batch.json       see micro_batch.py
<work_dir>/losses.json            the loss curve so far: {"losses": [[10, 1.38], [20, 1.31], ...]}

Clusters come in their natural proportions: the router's posterior is then the weight of each expert in the
mixture, as the theory of decentralised flow matching asks (McAllister et al., arXiv 2501.05450, equation 7).

Shapes: B rows, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from paris.experts.data.cluster import ClusterData
from paris.experts.data.order import RowOrder
from paris.experts.data.shards import ShardFile
from paris.experts.errors import TrainingError
from paris.experts.files import write_whole
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.presets import RouterConfig
from paris.experts.models.prompt_router import CAPTION_DROPOUT
from paris.experts.models.router import Router, initial_router
from paris.experts.seeding import generator_for
from paris.experts.settings import Settings
from paris.experts.training.batches import Batch, largest_batch
from paris.experts.training.config import BaseTrainingConfig, Progress, task_digest
from paris.experts.training.loop import TrainingLoop, Watch
from paris.experts.training.machine import MachineSettings, make_deterministic
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.precision import check_precision
from paris.experts.training.router_report import RouterReport, heldout_posteriors
from paris.experts.training.snapshots import SnapshotStore
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep

_REPORT_EVERY = 10


class RouterTrainingConfig(BaseTrainingConfig):
    """How the router is trained."""

    window_shards: Annotated[int, Field(ge=1)] = 64
    """Shards, of all clusters together, over which rows are mixed."""


class RouterTask(Settings):
    """One router to be trained."""

    seed: Annotated[int, Field(ge=0)]
    """The run's seed."""
    router: RouterConfig
    """`num_clusters` is the number of clusters in the data."""
    training: RouterTrainingConfig
    data_digest: str = ""
    """Of the rows, the codec and the text encoder, so that snapshots of other data are refused."""

    @property
    def digest(self) -> str:
        """As `task_digest`."""
        return task_digest(self)


class RouterRows(NamedTuple):
    """The data of a router, one entry a cluster."""

    training: Sequence[ClusterData]
    heldout: Sequence[ClusterData]


def train_router(
    task: RouterTask,
    rows: RouterRows,
    codec: Codec,
    text_encoder: TextEncoder | None,
    work_dir: Path,
    machine: MachineSettings | None = None,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[Router, RouterReport]:
    """Train a router from the newest good snapshot to the end, and judge it on held-out rows.

    Bits are as `ExpertTraining` promises. The machine's compilation and checkpointing are for experts alone.

    Args:
        task: The task.
        rows: Its data.
        codec: From stored rows to the router's input.
        text_encoder: For a router that sees the prompt; it learns the null prompt too.
        work_dir: Folder of the snapshots; the same one resumes.
        machine: None: one thread of the CPU.
        on_progress: Called every 10 steps with steps done and the smoothed loss.

    Returns:
        The router with its EMA weights, on the CPU, and its report.

    Raises:
        TrainingError: The data has another number of clusters than the router, a router that sees the prompt has no
            text encoder, or training diverged; the last snapshot is kept.
        SettingsError: The device lacks the task's precision.
        DiskFullError: No space for a snapshot; earlier snapshots are kept.
        SnapshotError: The snapshots in `work_dir` are of another task; nothing is changed.
    """
    config, machine = task.router, machine or MachineSettings()
    _check(config, rows, text_encoder)
    if config.text_embed_dim is None:
        text_encoder = None
    device = torch.device(machine.device)
    check_precision(device, task.training.precision)
    make_deterministic(device, machine.num_threads)
    router = initial_router(config, task.seed).to(device)
    state = TrainState(router, task.training)
    curve = _LossCurve(work_dir / "losses.json", on_progress)
    store = SnapshotStore(
        work_dir / "snapshots", task.digest, state.specs(), compact_before=task.training.compact_before
    )
    loop = TrainingLoop(state, store, Watch(curve.add, lambda: False, _REPORT_EVERY))
    batches = RouterBatches(task, rows.training, codec, text_encoder)
    if not loop.is_complete:
        step = TrainStep(state, MicroBatch.of(task.training, machine, work_dir), criterion=F.cross_entropy)
        if step.micro_batch.is_untried:
            largest = _largest_batch(task, text_encoder).to(device)
            step.micro_batch.try_out(step.backward, largest, router, machine)
        loop.run(step, batches.batch, machine)
    router.load_state_dict(state.ema.average)
    logs, labels = heldout_posteriors(
        router,
        rows.heldout,
        codec,
        text_encoder,
        seed=task.seed,
        batch_size=task.training.batch_size,
        device=device,
    )
    report = RouterReport.of(
        logs, labels, steps=task.training.steps, num_rows=batches.num_rows, losses=tuple(curve.points)
    )
    return router.cpu(), report


class RouterBatches:
    """The batches of a router: rows of all clusters, with the clusters as target."""

    def __init__(
        self, task: RouterTask, clusters: Sequence[ClusterData], codec: Codec, encoder: TextEncoder | None
    ) -> None:
        self._task, self._clusters, self._codec, self._encoder = task, clusters, codec, encoder
        self._shards = [(k, shard) for k, data in enumerate(clusters) for shard in range(data.num_shards)]
        shard_rows = [count for data in clusters for count in data.shard_rows]
        self._order = RowOrder(task.seed, "router", shard_rows, task.training.window_shards)
        # Decoded shards of all clusters together, not of each.
        self._shard = lru_cache(maxsize=task.training.window_shards)(self._opened)
        self.num_rows = sum(shard_rows)

    def batch(self, step: int) -> Batch:
        """As `Batches.batch`."""
        seed = self._task.seed
        rows = self._order.batch(step, self._task.training.batch_size)
        with_text, stored, captions = self._encoder is not None, [], []
        for number, row in rows:
            shard = self._shard(number)
            stored.append(shard.latents[row])
            captions += [shard.all_captions[row]] if with_text else []
        x0 = self._codec.to_model(np.stack(stored))
        states = mask = None
        if self._encoder is not None:
            generator = generator_for(seed, "caption-dropout", "router", step)
            dropped = (torch.rand(len(captions), generator=generator, dtype=torch.float32) < CAPTION_DROPOUT).tolist()
            generator = generator_for(seed, "caption", "router", step)
            draws = torch.rand(len(captions), generator=generator, dtype=torch.float32).tolist()
            drawn = [texts[int(draw * len(texts))] for texts, draw in zip(captions, draws, strict=True)]
            states, mask = self._encoder.encode(
                ["" if drop else caption for caption, drop in zip(drawn, dropped, strict=True)]
            )
        generator = generator_for(seed, "step", "router", step)
        t = torch.rand(len(x0), generator=generator, dtype=torch.float32)
        noise = torch.randn(x0.shape, generator=generator, dtype=torch.float32)
        return Batch(x0, noise, t, states, mask, target=torch.tensor([self._shards[number][0] for number, _ in rows]))

    def _opened(self, number: int) -> ShardFile:
        cluster, shard = self._shards[number]
        return self._clusters[cluster].opened(shard)


class _Losses(Settings):
    """losses.json."""

    losses: tuple[tuple[int, float], ...]


class _LossCurve:
    """Step and smoothed loss at every report, kept in a file beside the snapshots."""

    def __init__(self, path: Path, on_progress: Callable[[int, float], None] | None) -> None:
        self._path, self._on_progress = path, on_progress
        self.points: list[tuple[int, float]] = []
        if path.is_file():
            self.points = list(_Losses.model_validate_json(path.read_bytes()).losses)

    def add(self, progress: Progress) -> None:
        """Take in a report; points after it are of steps that were lost, and are computed again."""
        step, loss = progress.step, progress.loss
        self.points = [point for point in self.points if point[0] < step]
        if loss is None or not (step % _REPORT_EVERY == 0 or step == progress.steps):
            return
        self.points.append((step, loss))
        write_whole(self._path, _Losses(losses=tuple(self.points)).model_dump_json().encode())
        if self._on_progress:
            self._on_progress(step, loss)


def _check(config: RouterConfig, rows: RouterRows, text_encoder: TextEncoder | None) -> None:
    if not len(rows.training) == len(rows.heldout) == config.num_clusters:
        found = f"{len(rows.training)} training and {len(rows.heldout)} held-out clusters were given"
        raise TrainingError(f"The router has {config.num_clusters} clusters, {found}.")
    if config.text_embed_dim is not None and text_encoder is None:
        raise TrainingError("This router sees the prompt, and there is nothing to encode it.", "Pass a text encoder.")


def _largest_batch(task: RouterTask, text_encoder: TextEncoder | None) -> Batch:
    rows = task.training.batch_size
    text = None if text_encoder is None else text_encoder.config
    return replace(largest_batch(task.router, text, rows), target=torch.zeros(rows, dtype=torch.int64))
