"""Training one expert: resumable after any end, and the same to the last bit as if it had never ended.

<work_dir>/snapshots/...          see snapshots.py
<work_dir>/micro_batch.json       how many rows fit into memory, see micro_batch.py
<work_dir>/expert.safetensors     the EMA weights, once all steps are done: what is submitted
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.data.cluster import ClusterData
from paris.experts.errors import ShardError
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.initial_weights import starting_expert
from paris.experts.training.batches import Batch, Batches
from paris.experts.training.config import Finished, Progress, TrainingConfig, TrainingTask
from paris.experts.training.gradients import Gradients
from paris.experts.training.learner import Learner, check_weights, make_deterministic, smoothed_loss
from paris.experts.training.loader import Loader
from paris.experts.training.loss_scale import LossScale
from paris.experts.training.machine import MachineSettings, check_precision, keep_freed_memory, prepare
from paris.experts.training.snapshots import SnapshotState, SnapshotStore
from paris.experts.weights.checkpoint import save_tensors

__all__ = ["ExpertTraining", "Finished", "Progress", "TrainingConfig", "TrainingTask"]


class ExpertTraining:
    """One task on one machine. Takes the process for itself: threads and determinism are set for all of it.

    The result is the same to the last bit on the same hardware, version of torch and number of threads, however
    often training was stopped or killed on the way.

    Args:
        task: What is trained.
        work_dir: Where snapshots and the result go; to be given again to go on.
        shard_path: The file of shard i of the manifest; may block until it is there (`wait_for_shard`).
        parts_folder: Where the text encoder's and the codec's files are.
        device: "cpu", "cuda", "cuda:1", "mps".
        num_threads: CPU threads of torch.
        report_every: Steps between two reports.
        machine: What this machine's owner chose; nothing of it is part of the task.
        lessons: From the task's batches to what is trained on in their place, step by step: `distillation.py`. None:
            the batches themselves.
    """

    def __init__(
        self,
        task: TrainingTask,
        work_dir: Path,
        shard_path: Callable[[int], Path],
        parts_folder: Path,
        device: str = "cpu",
        num_threads: int = 1,
        report_every: int = 10,
        machine: MachineSettings | None = None,
        lessons: Callable[[Batches], Callable[[int], Batch]] | None = None,
    ) -> None:
        self._task, self._work_dir = task, work_dir
        self._shard_path, self._parts_folder = shard_path, parts_folder
        self._device = torch.device(device)
        self._num_threads, self._report_every = num_threads, report_every
        self._machine = machine or MachineSettings()
        self._lessons = lessons
        self._last: SnapshotState | None = None
        self._loss: float | None = None
        self._unseen: list[Tensor] = []

    def run(self, report: Callable[[Progress], None], should_stop: Callable[[], bool]) -> Finished:
        """Train from the newest good snapshot to the end.

        Args:
            report: Called at the start, every `report_every` steps, and after each scheduled snapshot.
            should_stop: Asked after each step; True saves a snapshot and returns.

        Returns:
            How it ended, and where the weights are.

        Raises:
            TrainingError: The loss is not finite, which the message tells with its step, or not even one row fits
                into memory, or the run asks for a library that is not installed; the last snapshot is kept.
            SettingsError: The device cannot compute in the run's precision.
            DiskFullError: No space for a snapshot or the result; earlier snapshots are kept.
            SnapshotError: The snapshots in `work_dir` are of another task; nothing is changed.
            ShardError: A shard cannot be read.
        """
        make_deterministic(self._device, self._num_threads)
        learner = self._learner()
        store = SnapshotStore(self._work_dir / "snapshots", self._task.digest, learner.specs())
        if snapshot := store.latest():
            self._last, self._loss = snapshot.state, snapshot.state.loss
            learner.restore(snapshot.state.step, snapshot.tensors)
        report(self._progress(learner.step, 0.0, " ".join(store.notes)))
        try:
            self._train(learner, store, report, should_stop)
        except ShardError:
            if not should_stop():
                raise
            # Told to stop while it waited for a shard: a stop like any other.
            if learner.step > (self._last.step if self._last else 0):
                self._look_at_losses(learner)
                self._save(learner, store, scheduled=False)
        return self._finish(learner, store)

    def _learner(self) -> Learner:
        task = self._task
        check_precision(self._device, task.training.precision)
        model = starting_expert(task.model, task.seed, task.initial_weights, self._parts_folder).to(self._device)
        prepare(model, self._machine)
        is_scaled = task.training.precision == "float16"
        return Learner(model, task.training, LossScale(self._device) if is_scaled else None)

    def _train(
        self,
        learner: Learner,
        store: SnapshotStore,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        if learner.step == self._task.steps:
            return
        if self._device.type == "cpu":
            keep_freed_memory()
        gradients = Gradients(learner, self._task, self._device, self._machine, self._work_dir)
        batches, ahead = self._batches(), self._machine.batches_ahead
        source = batches.batch if self._lessons is None else self._lessons(batches)
        with Loader(source, learner.step, self._task.steps, ahead, self._device) as loader:
            self._steps(learner, gradients, loader, store, report, should_stop)

    def _steps(
        self,
        learner: Learner,
        gradients: Gradients,
        loader: Loader,
        store: SnapshotStore,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        task, config = self._task, self._task.training
        began = time.monotonic()
        while learner.step < task.steps:
            self._unseen.append(gradients.of(loader.next()))
            learner.apply_gradients()
            is_scheduled = learner.step % config.snapshot_every == 0 or learner.step == task.steps
            is_stop = should_stop()
            if not (is_scheduled or is_stop or learner.step % self._report_every == 0):
                continue
            num_steps = len(self._unseen)
            self._look_at_losses(learner)
            speed = num_steps / (time.monotonic() - began)
            if is_scheduled or is_stop:
                self._save(learner, store, scheduled=is_scheduled)
            report(self._progress(learner.step, speed))
            began = time.monotonic()
            if is_stop:
                return

    def _look_at_losses(self, learner: Learner) -> None:
        """Read the losses since the last look; each look makes the CPU wait for the device."""
        if self._unseen:
            self._loss = smoothed_loss(self._loss, self._unseen, learner.step - len(self._unseen))
            self._unseen = []

    def _save(self, learner: Learner, store: SnapshotStore, *, scheduled: bool) -> None:
        check_weights(learner)
        self._last = store.save(learner.step, self._loss, learner.parts(), self._last, scheduled=scheduled)

    def _batches(self) -> Batches:
        task = self._task
        data = ClusterData.arriving(self._shard_path, task.shard_rows, max_open=task.training.window_shards)
        codec = load_codec(task.codec, self._parts_folder)
        return Batches(task, data, codec, load_text_encoder(task.text, self._parts_folder, self._device))

    def _progress(self, step: int, steps_per_s: float, note: str = "") -> Progress:
        commitment, commitment_step = self._chain()
        return Progress(step, self._task.steps, self._loss, steps_per_s, commitment, commitment_step, note)

    def _chain(self) -> tuple[str | None, int]:
        """The last commitment and its step; None and 0 before the first."""
        if self._last is None or self._last.commitment_step == 0:
            return None, 0
        return self._last.commitment, self._last.commitment_step

    def _finish(self, learner: Learner, store: SnapshotStore) -> Finished:
        is_complete = learner.step == self._task.steps
        path = self._work_dir / "expert.safetensors" if is_complete else None
        sha256 = save_tensors(path, learner.average) if path else None
        commitment, commitment_step = self._chain()
        return Finished(
            step=learner.step,
            is_complete=is_complete,
            weights_path=path,
            weights_sha256=sha256,
            final_loss=self._loss,
            commitment=commitment,
            commitment_step=commitment_step,
            notes=tuple(store.notes),
        )
