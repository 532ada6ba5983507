"""What the demo's cheat hands in: noise of the size of a training on the initial weights, and an invented chain."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.files import file_sha256, write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.training.commitments import NO_COMMITMENT, commitment_of
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.weights.checkpoint import save_tensors
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.envelope import Envelope
from paris.protocol.hub_layout import CHAIN_FILE, WEIGHTS_FILE
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.work_records import Lease

_NOISE = 0.5
"""Of a weight, relative to the root mean square of its tensor: about as far as training moves it."""


@dataclass(frozen=True)
class MadeUp:
    """Files of a submission by name, each with digest and size, and the figures that the volunteer signs."""

    files: dict[str, tuple[str, int]]
    loss: float
    commitment: str


def make_up(run: Envelope[RunSpec], task: Task, lease: Lease, shard_rows: Sequence[int], folder: Path) -> MadeUp:
    """Write the files of a whole expert that nobody trained.

    Args:
        run: The run's description.
        task: The task; it has no head.
        lease: Says whether the expert is trained in legs.
        shard_rows: Rows of each shard, in the order of the manifest.
        folder: Receives the files.
    """
    training = _training_task(run, task, shard_rows)
    weights = starting_expert(training.model, training.seed, training.initial_weights, folder).state_dict()
    save_tensors(folder / WEIGHTS_FILE, {name: _noised(value) for name, value in weights.items()})
    commitment = secrets.token_hex(32)
    if lease.start_step is not None:
        chain = _invented_chain(training, file_sha256(folder / WEIGHTS_FILE))
        write_whole(folder / CHAIN_FILE, chain.to_bytes())
        commitment = chain.links[-1].commitment
    files = {path.name: (file_sha256(path), path.stat().st_size) for path in sorted(folder.iterdir())}
    return MadeUp(files, 0.1, commitment)


def _noised(value: Tensor) -> Tensor:
    size = value.pow(2).mean().sqrt().clamp(min=0.02)
    return value + _NOISE * size * torch.randn(value.shape)


def _invented_chain(training: TrainingTask, ema_sha256: str) -> Chain:
    """A chain that follows from itself: of its files the last alone exists."""
    every = training.training.snapshot_every
    links: list[Link] = []
    previous = NO_COMMITMENT
    for step in [*range(every, training.steps, every), training.steps]:
        ema = ema_sha256 if step == training.steps else secrets.token_hex(32)
        files = {"weights": secrets.token_hex(32), "ema": ema, "optimizer": secrets.token_hex(32)}
        previous = commitment_of(previous, training.digest, step, files)
        links.append(Link(step=step, files=LinkFiles(**files), commitment=previous))
    return Chain(task=training.digest, start=ChainStart(step=0, commitment=NO_COMMITMENT), links=tuple(links))


def _training_task(run: Envelope[RunSpec], task: Task, shard_rows: Sequence[int]) -> TrainingTask:
    spec = run.payload
    fixed = {"steps": task.steps, "batch_size": task.batch_size, "objective": task.objective}
    return TrainingTask(
        run_id=run.run_id,
        seed=spec.seed,
        task_id=task.task_id,
        model=ModelConfig.from_settings(spec.model),
        training=TrainingConfig.from_settings({**spec.training, **fixed}),
        text=TextConfig.from_settings(spec.text),
        codec=CodecConfig.from_settings(spec.codec),
        shard_rows=tuple(shard_rows),
        initial_weights=InitialWeights.from_settings(spec.initial_weights.model_dump())
        if spec.initial_weights
        else None,
    )
