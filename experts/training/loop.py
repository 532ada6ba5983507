"""The training loop: from the newest snapshot to the last step, with reports and snapshots on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paris.experts.errors import DivergedError, ShardError
from paris.experts.training.batches import Batch
from paris.experts.training.commitments import SnapshotState
from paris.experts.training.config import Progress
from paris.experts.training.ema import ema_decay_at
from paris.experts.training.loader import Loader
from paris.experts.training.machine import MachineSettings, keep_freed_memory
from paris.experts.training.snapshots import SnapshotStore
from paris.experts.training.state import RESTART, TrainState

LOSS_DECAY = 0.98
"""Of the running mean of the training loss, after the first steps."""


class Watch(NamedTuple):
    """The callbacks of a training."""

    report: Callable[[Progress], None]
    """Called at the start, every `every` steps, and after each scheduled snapshot."""
    should_stop: Callable[[], bool]
    """Asked after each step; True saves a snapshot and returns."""
    every: int = 10


class TrainingLoop:
    """One training. Making it restores the state from the newest good snapshot, and reports.

    Args:
        state: What is trained.
        store: Its snapshots.
        watch: Who is told.
        until_step: A scheduled snapshot to end at; None: the last step.

    Raises:
        SnapshotError: As `SnapshotStore.latest`.
    """

    def __init__(self, state: TrainState, store: SnapshotStore, watch: Watch, until_step: int | None = None) -> None:
        self._state, self._store, self._watch = state, store, watch
        self._until_step = until_step or state.config.steps
        self._last: SnapshotState | None = None
        self.loss: float | None = None
        """Smoothed, as in `Progress`."""
        self._unread_losses: list[Tensor] = []
        self.look: Callable[[TrainState], None] | None = None
        """Called after each step; must not change the state."""
        if snapshot := store.latest():
            self._last, self.loss = snapshot.state, snapshot.state.loss
            state.restore(snapshot.state.step, snapshot.tensors)
        self._report(0.0, " ".join(store.notes))

    @property
    def is_complete(self) -> bool:
        """Whether all steps up to the wanted one are done."""
        return self._state.step >= self._until_step

    @property
    def commitment(self) -> tuple[str | None, int]:
        """As in `Progress`: the last link of the chain, and its step."""
        if self._last is None or self._last.commitment_step == 0:
            return None, 0
        return self._last.commitment, self._last.commitment_step

    def run(self, step: Callable[[Batch], Tensor], batch: Callable[[int], Batch], machine: MachineSettings) -> None:
        """Train to the end, or until told to stop. `batch` is called in a thread."""
        state = self._state
        if state.device.type == "cpu":
            keep_freed_memory()
        try:
            with Loader(batch, state.step, self._until_step, machine.batches_ahead, state.device) as loader:
                self._run(step, loader)
        except ShardError:
            if not self._watch.should_stop():
                raise
            # Told to stop while a batch waited for its shard.
            if state.step > (self._last.step if self._last else 0):
                self._read_losses()
                self._save(scheduled=False)

    def _run(self, step: Callable[[Batch], Tensor], loader: Loader) -> None:
        state, config, watch = self._state, self._state.config, self._watch
        began = time.monotonic()
        while not self.is_complete:
            self._unread_losses.append(step(loader.next()))
            if self.look is not None:
                self.look(state)
            is_scheduled = state.step % config.snapshot_every == 0 or state.step == config.steps
            is_stop = watch.should_stop()
            if not (is_scheduled or is_stop or state.step % watch.every == 0):
                continue
            num_steps = len(self._unread_losses)
            self._read_losses()
            speed = num_steps / (time.monotonic() - began)
            if is_scheduled or is_stop:
                self._save(scheduled=is_scheduled)
            self._report(speed)
            began = time.monotonic()
            if is_stop:
                return

    def _read_losses(self) -> None:
        """Makes the CPU wait for the device."""
        if self._unread_losses:
            first_step = self._state.step - len(self._unread_losses)
            self.loss = smoothed_loss(self.loss, self._unread_losses, first_step)
            self._unread_losses = []

    def _save(self, *, scheduled: bool) -> None:
        state = self._state
        state.check_finite()
        is_compact = scheduled and state.step < state.config.compact_before
        files = state.make_compact() if is_compact else state.tensors()
        self._last = self._store.save(state.step, self.loss, files, self._last, scheduled=scheduled)

    def _report(self, steps_per_s: float, note: str = "") -> None:
        state = self._state
        self._watch.report(Progress(state.step, state.config.steps, self.loss, steps_per_s, *self.commitment, note))


def smoothed_loss(loss: float | None, losses: Sequence[Tensor], first_step: int) -> float:
    """Update a running mean over some 50 steps, None before the first, by the losses `[]` of further steps.

    Raises:
        DivergedError: One of them is not finite; the message names its step.
    """
    mean = 0.0 if loss is None else loss
    for step, value in enumerate(torch.stack(list(losses)).tolist(), first_step):
        if not math.isfinite(value):
            raise DivergedError(f"The loss of step {step} is {value}: training diverged.", RESTART)
        decay = 0.0 if step == 0 else ema_decay_at(step, LOSS_DECAY)
        mean = decay * mean + (1.0 - decay) * value
    return mean
