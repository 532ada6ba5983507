"""The gradients of a whole batch, in as many pieces as the machine's memory asks for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.training.batches import Batch
from paris.experts.training.config import TrainingTask
from paris.experts.training.learner import Learner
from paris.experts.training.machine import MachineSettings
from paris.experts.training.micro_batch import MicroBatch, is_out_of_memory, rows_within

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def precise(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Compute in a task's precision inside this context; weights stay float32.

    Args:
        device: Where is computed.
        precision: As in `TrainingConfig`.
    """
    dtype = _DTYPES[precision]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


class Gradients:
    """Forward and backward passes of one training; halves its pieces when the device is full, and tries again.

    Args:
        learner: Whose model computes, and whose parameters get the gradients.
        task: What is trained.
        device: Where the model is.
        machine: What the machine's owner chose.
        work_dir: Where the size of a piece is remembered.
    """

    def __init__(
        self, learner: Learner, task: TrainingTask, device: torch.device, machine: MachineSettings, work_dir: Path
    ) -> None:
        self._learner, self._task, self._device = learner, task, device
        self._micro_batch = self._settle(machine, work_dir)

    @property
    def micro_batch_size(self) -> int:
        """Rows in memory together, as found so far."""
        return self._micro_batch.rows

    def of(self, batch: Batch) -> Tensor:
        """Leave the gradients of a batch's mean loss in the parameters.

        Args:
            batch: On the device.

        Returns:
            The loss `[]`, still on the device.

        Raises:
            TrainingError: Not even one row fits into memory.
        """
        while True:
            try:
                return self._accumulated(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                full = error.with_traceback(None)  # the frames hold what must be freed
            self._learner.drop_gradients()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            self._micro_batch.halve(full)

    def _accumulated(self, batch: Batch) -> Tensor:
        total, scale = torch.zeros((), device=self._device), self._learner.loss_scale
        for piece in batch.pieces(self._micro_batch.rows):
            loss = self._loss(piece) * (len(piece) / len(batch))
            (loss if scale is None else loss * scale.scale).backward()
            total += loss.detach()
        return total

    def _loss(self, piece: Batch) -> Tensor:
        config = self._task.training
        with precise(self._device, config.precision):
            return piece.loss(self._learner.model, config.objective)

    def _settle(self, machine: MachineSettings, work_dir: Path) -> MicroBatch:
        config = self._task.training
        if chosen := machine.micro_batch_size or config.micro_batch_size:
            return MicroBatch(min(chosen, config.batch_size))
        circumstances = self._circumstances(machine)
        if found := MicroBatch.remembered(work_dir, circumstances):
            return found
        self._micro_batch = MicroBatch.to_remember(config.batch_size, work_dir, circumstances)
        if self._device.type != "cpu":
            self.of(self._largest_batch())
            self._learner.drop_gradients()
        elif machine.memory_limit_bytes is not None:
            row = self._largest_batch().pieces(1)[0]
            model, limit = self._learner.model, machine.memory_limit_bytes
            # Not worth a compilation of its own, for a shape that never comes again.
            with torch.compiler.set_stance("force_eager") if machine.compile else contextlib.nullcontext():
                self._micro_batch.rows = rows_within(limit, model, lambda: self._loss(row), config.batch_size)
        self._micro_batch.remember()
        return self._micro_batch

    def _circumstances(self, machine: MachineSettings) -> str:
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        limit = f", limit {machine.memory_limit_bytes}" if self._device.type == "cpu" else ""
        ways = [way for way in ("checkpointing", "compile") if getattr(machine, way)]
        return ", ".join([f"{name}{limit}", f"{self._task.training.batch_size} rows", *ways])

    def _largest_batch(self) -> Batch:
        """As many rows and text tokens as a batch of the task can have."""
        model, text, rows = self._task.model, self._task.text, self._task.training.batch_size
        x0 = torch.zeros(rows, model.in_channels, model.image_size, model.image_size)
        mask = torch.ones(rows, text.max_tokens, dtype=torch.bool)
        mask[:, -1] = text.max_tokens == 1  # padding takes memory too, for the mask
        states = torch.zeros(rows, text.max_tokens, text.dim)
        return Batch(x0, torch.zeros_like(x0), torch.full((rows,), 0.5), states, mask).to(self._device)
