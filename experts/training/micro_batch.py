"""How many rows are in memory together: chosen, or found by trial and remembered.

    <work_dir>/micro_batch.json    {"rows": 4, "for": "NVIDIA A40, 256 rows, checkpointing"}

On a GPU the trial is the largest batch of the task, halved until it fits. A CPU does not refuse memory, its system
ends the process: there, what one row keeps for the backward pass is counted.

The number is kept when training resumes: another one would change the rounding of sums.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from paris.experts.errors import TrainingError
from paris.experts.files import write_whole
from paris.experts.settings import Settings
from paris.experts.training.batches import Batch
from paris.experts.training.config import BaseTrainingConfig
from paris.experts.training.machine import MachineSettings
from paris.experts.training.memory import is_out_of_memory, rows_within

_FILE = "micro_batch.json"
Backward = Callable[[Sequence[Batch]], Tensor]
"""Replaces the gradients by those of some pieces; returns the loss `[]`."""


class _Remembered(Settings):
    """micro_batch.json."""

    rows: Annotated[int, Field(ge=1)]
    circumstances: Annotated[str, Field(alias="for")]


@dataclass
class MicroBatch:
    """Rows in memory together; halved when the device is full."""

    rows: int
    path: Path | None = None
    """The file that remembers it; None: it was chosen."""
    circumstances: str = ""
    """Device, batch size and settings that it is remembered for."""
    is_untried: bool = False
    """Whether `try_out` is still to be called."""

    @classmethod
    def of(cls, config: BaseTrainingConfig, machine: MachineSettings, work_dir: Path) -> MicroBatch:
        """The chosen size, the machine's before the run's; else the remembered one; else the whole batch, untried."""
        if chosen := machine.micro_batch_size or config.micro_batch_size:
            return cls(min(chosen, config.batch_size))
        path, circumstances = work_dir / _FILE, _circumstances(config, machine)
        try:
            found = _Remembered.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            found = None  # the first trial, or a file of another version
        if found is not None and found.circumstances == circumstances:
            return cls(found.rows, path, circumstances)
        return cls(config.batch_size, path, circumstances, is_untried=True)

    def run(self, backward: Backward, batch: Batch) -> Tensor:
        """Call `backward` with pieces that fit: halved, and again, while the device is full.

        Raises:
            TrainingError: Not even one row fits.
        """
        while True:
            try:
                return backward(batch.split(self.rows))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                full = error.with_traceback(None)  # its frames hold what must be freed
            if batch.x0.device.type == "cuda":
                torch.cuda.empty_cache()
            self._halve(full)

    def try_out(self, backward: Backward, largest: Batch, model: nn.Module, machine: MachineSettings) -> None:
        """Find the size before the first step, on the largest batch of the task, and remember it.

        Raises:
            TrainingError: Not even one row fits.
        """
        if largest.x0.device.type != "cpu":
            self.run(backward, largest)
        elif machine.memory_limit_bytes is not None:
            row, limit = largest[:1], machine.memory_limit_bytes
            # A compilation for one row would never be used again.
            with torch.compiler.set_stance("force_eager") if machine.compile else contextlib.nullcontext():
                self.rows = rows_within(limit, model, lambda: backward([row]), len(largest))
        self.is_untried = False
        self._remember()

    def _halve(self, error: Exception) -> None:
        if self.rows == 1:
            raise TrainingError(
                "Training does not fit into this machine's memory, even with one row at a time.",
                "Set checkpointing = true, close other programs, or train on a larger device.",
            ) from error
        self.rows = -(-self.rows // 2)
        self._remember()

    def _remember(self) -> None:
        if self.path is not None:
            write_whole(self.path, json.dumps({"rows": self.rows, "for": self.circumstances}).encode())


def _circumstances(config: BaseTrainingConfig, machine: MachineSettings) -> str:
    device = torch.device(machine.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    limit = f", limit {machine.memory_limit_bytes}" if device.type == "cpu" else ""
    settings = [name for name in ("checkpointing", "compile") if getattr(machine, name)]
    return ", ".join([f"{name}{limit}", f"{config.batch_size} rows", *settings])
