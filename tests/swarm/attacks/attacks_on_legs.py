"""Attacks with legs: a state of any origin under the chain of the honest task. Rung 5 trains the stretch again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from attack import Attack, Make, dice
from safetensors.torch import load, save
from verify_attempt import Attempt
from verify_legs import EVERY, LegAttempt, TrainedLeg, sha256, training_task
from verify_world import SHAPE, World

from paris.experts.data.shards import Row
from paris.experts.training.commitments import FILES, NO_COMMITMENT, commitment_of, read_state, scheduled_folder
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import Leg
from paris.experts.training.machine import MachineSettings

State = Callable[[World, Path], Path]
"""Makes the state that a cheat claims for step `EVERY`, with an empty folder to work in."""
REPLAYED = {"draw_secret": "00" * 32, "replay_rate": 0.0}
"""The stretch from the public start is always drawn."""


def forged(world: World, states: dict[int, Path], folder: Path) -> TrainedLeg:
    """States of any origin under the chain of an honest task."""
    digest, before, links = training_task(world, 0).digest, NO_COMMITMENT, []
    for step, state in states.items():
        known = read_state(state)
        shutil.copytree(state, scheduled_folder(folder, step))
        files = {name: sha256((state / f"{name}.safetensors").read_bytes()) for name in FILES}
        commitment = commitment_of(before, digest, step, files)
        update = {"task": digest, "step": step, "files": files, "previous": before, "commitment": commitment}
        links.append(known.model_copy(update={**update, "commitment_step": step}))
        before = commitment
    return TrainedLeg(None, tuple(links), folder, digest)


def trained(world: World, folder: Path, *, cluster: int = 0, shards: tuple[Path, ...] = (), **changes) -> Path:
    """The state after `EVERY` steps, or `until`, on any shards with any settings."""
    until, machine = changes.pop("until", EVERY), changes.pop("machine", None)
    task, shards = training_task(world, 0), shards or tuple(world.shards(cluster))
    task = task.model_copy(update={"training": task.training.model_copy(update={"snapshot_every": until, **changes})})
    training = ExpertTraining(task, folder, shards.__getitem__, world.folder, machine, leg=Leg(until_step=until))
    training.run(lambda progress: None, lambda: False)
    return scheduled_folder(folder / "snapshots", until)


def with_settings(**changes) -> State:
    return lambda world, folder: trained(world, folder, **changes)


def on_rows(name: str, change: Callable[[Row, int], Row]) -> State:
    return lambda world, folder: trained(world, folder, shards=world.changed_shards(0, name, change))


def with_noise(world: World, folder: Path) -> Path:
    """The EMA weights get noise of a tenth of their way."""
    state, start, generator = trained(world, folder), world.initial(), dice(world, 4)
    path = state / "ema.safetensors"
    tensors = load(path.read_bytes())
    for name, value in tensors.items():
        moved = (value - start[name]).norm() / value.numel() ** 0.5
        value += 0.1 * moved * torch.randn(value.shape, generator=generator)
    path.write_bytes(save(tensors))
    return state


def with_other_moments(world: World, folder: Path) -> Path:
    """One tensor's moment is ten times as large, and would carry the next leg away."""
    state = trained(world, folder)
    path = state / "optimizer.safetensors"
    tensors = load(path.read_bytes())
    tensors[next(name for name in tensors if name.startswith("exp_avg.layers"))] *= 10
    path.write_bytes(save(tensors))
    return state


def white(row: Row, index: int) -> Row:
    return row if index % 20 else replace(row, latent=np.full(SHAPE, 255, np.uint8))


STATES: dict[str, tuple[str, State, float]] = {
    "a fifth of the batch": ("Trains with 3 rows instead of 16", with_settings(batch_size=3), 0.2),
    "half of the steps": ("Trains half of the leg's steps", with_settings(until=EVERY // 2), 0.5),
    "another learning rate": ("Trains with a rate 10 % higher", with_settings(learning_rate=3.3e-3), 1.0),
    "another cluster": ("Trains on another cluster", with_settings(cluster=1), 1.0),
    "other captions": (
        "Trains with wrong captions",
        on_rows("renamed", lambda row, index: replace(row, caption="a blue bar")),
        1.0,
    ),
    "poison in 5 % of the rows": ("Makes one row of twenty white", on_rows("white", white), 1.0),
    "noise": ("Adds noise of a tenth of the way", with_noise, 1.0),
    "other moments": ("Changes the optimizer's moments, which the next leg starts from", with_other_moments, 1.0),
}
"""What it does, the state, and the share of the leg's work."""


def leg_of(state: State) -> Make:
    def make(world: World) -> tuple[Attempt, dict]:
        folder = Path(tempfile.mkdtemp(prefix="forged-", dir=world.folder))
        leg = forged(world, {EVERY: state(world, folder / "work")}, folder / "claimed")
        return LegAttempt.of(world, 0, leg), REPLAYED

    return make


ON_LEGS = tuple(
    Attack(f"leg: {name}", does, "replay", leg_of(state), work) for name, (does, state, work) in STATES.items()
)
HONEST_STATES: dict[str, State] = {
    "leg": with_settings(),
    "leg in micro-batches of 4": with_settings(machine=MachineSettings(micro_batch_size=4)),
    "leg with 2 threads": with_settings(machine=MachineSettings(num_threads=2)),
    "leg with checkpointing": with_settings(machine=MachineSettings(checkpointing=True)),
}
