"""Training one expert, resumable after any end.

<work_dir>/snapshots/...          see snapshots.py
<work_dir>/micro_batch.json       see micro_batch.py
<work_dir>/head/                  the files of a leg's head, until training takes them over as its first snapshot
<work_dir>/expert.safetensors     the EMA weights, once all steps are done
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from paris.experts.data.cluster import ClusterData
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.initial_weights import starting_expert
from paris.experts.training.batches import Batch, Batches, largest_batch
from paris.experts.training.config import Finished, Progress, TrainingTask
from paris.experts.training.leg import HEAD_FOLDER, Leg
from paris.experts.training.loop import TrainingLoop, Watch
from paris.experts.training.machine import MachineSettings, configure_model, limit_gpu_memory, make_deterministic
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.precision import check_precision
from paris.experts.training.snapshots import SnapshotStore
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep
from paris.experts.weights.checkpoint import save_tensors


class ExpertTraining:
    """One task on one machine. It sets threads and determinism of the whole process.

    The result is the same to the last bit on the same hardware, version of torch and number of threads, however
    often training is stopped or killed.

    Args:
        task: The task.
        work_dir: Folder of snapshots and result; the same one resumes.
        shard_path: The file of shard i of the manifest; may block until it is there (`wait_for_shard`).
        frozen_folder: Folder of the files of text encoder, codec and initial weights.
        machine: Device, threads and the like; None: one thread of the CPU.
        report_every: Steps between two reports.
        with_targets: Adds targets to the task's batches, as `teacher_targets` does; None: the objective's own.
        leg: The stretch to train; None: the whole task.

    Raises:
        SettingsError: The leg does not end at a scheduled snapshot.
    """

    def __init__(
        self,
        task: TrainingTask,
        work_dir: Path,
        shard_path: Callable[[int], Path],
        frozen_folder: Path,
        machine: MachineSettings | None = None,
        report_every: int = 10,
        with_targets: Callable[[Batches], Callable[[int], Batch]] | None = None,
        leg: Leg | None = None,
    ) -> None:
        if leg is not None:
            leg.require_scheduled_end(task.training)
        self._task, self._work_dir = task, work_dir
        self._shard_path, self._frozen_folder = shard_path, frozen_folder
        self._machine = machine or MachineSettings()
        self._device = torch.device(self._machine.device)
        self._report_every, self._with_targets, self._leg = report_every, with_targets, leg

    def run(
        self,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        look: Callable[[Batches, int], Callable[[TrainState], None]] | None = None,
    ) -> Finished:
        """Train from the newest good snapshot to the end.

        Args:
            report: Called at the start, every `report_every` steps, and after each scheduled snapshot.
            should_stop: Asked after each step; True saves a snapshot and returns.
            look: Called with the batches and the steps done before the first step, if there is one to train; what it
                returns is called after each step with the state, which it must not change.

        Raises:
            TrainingError: Training diverged, or not even one row fits into memory, or the run takes a library that is
                not installed; the last snapshot is kept.
            SettingsError: The device lacks the run's precision.
            DiskFullError: No space for a snapshot or the result; earlier snapshots are kept.
            SnapshotError: The snapshots in `work_dir` are of another task, nothing is changed; or the leg's head is not
                one of this task, or is damaged.
            ShardError: A shard cannot be read.
        """
        make_deterministic(self._device, self._machine.num_threads)
        limit_gpu_memory(self._device, self._machine.gpu_memory_share)
        state = self._initial_state()
        store = self._open_store(state)
        until_step = self._leg.until_step if self._leg else None
        loop = TrainingLoop(state, store, Watch(report, should_stop, self._report_every), until_step)
        if not loop.is_complete:
            step, batches = self._step(state), self._batches()
            loop.look = look(batches, state.step) if look else None
            loop.run(step, self._with_targets(batches) if self._with_targets else batches.batch, self._machine)
        return self._finished(state, loop, store)

    def _initial_state(self) -> TrainState:
        task = self._task
        check_precision(self._device, task.training.precision)
        model = starting_expert(task.model, task.seed, task.initial_weights, self._frozen_folder).to(self._device)
        configure_model(model, self._machine)
        return TrainState(model, task.training)

    def _open_store(self, state: TrainState) -> SnapshotStore:
        leg = self._leg
        start = leg.start_step if leg else None
        task, folder = self._task, self._work_dir / "snapshots"
        store = SnapshotStore(folder, task.digest, state.specs(), start, task.training.compact_before)
        if leg and leg.head:
            store.adopt(leg.head, self._work_dir / HEAD_FOLDER)
        return store

    def _step(self, state: TrainState) -> TrainStep:
        task, config = self._task, self._task.training
        step = TrainStep(state, MicroBatch.of(config, self._machine, self._work_dir), config.objective)
        if step.micro_batch.is_untried:
            largest = largest_batch(task.model, task.text, config.batch_size).to(self._device)
            step.micro_batch.try_out(step.backward, largest, state.model, self._machine)
        return step

    def _batches(self) -> Batches:
        task, folder = self._task, self._frozen_folder
        shape = (task.model.in_channels, task.model.image_size, task.model.image_size)
        data = ClusterData.arriving(self._shard_path, task.shard_rows, shape, task.training.window_shards)
        lane = self._leg.lane if self._leg else 0
        encoder = load_text_encoder(task.text, folder, self._device)
        return Batches(task, data, load_codec(task.codec, folder), encoder, lane)

    def _finished(self, state: TrainState, loop: TrainingLoop, store: SnapshotStore) -> Finished:
        path = self._work_dir / "expert.safetensors" if state.step == self._task.steps else None
        sha256 = save_tensors(path, state.ema.average) if path else None
        commitment, commitment_step = loop.commitment
        return Finished(
            step=state.step,
            is_complete=loop.is_complete,
            weights_path=path,
            weights_sha256=sha256,
            final_loss=loop.loss,
            commitment=commitment,
            commitment_step=commitment_step,
            notes=tuple(store.notes),
        )
