"""How many rows fit into a machine's memory together, found by trial and remembered.

    <work_dir>/micro_batch.json    {"rows": 4, "for": "NVIDIA A40, 256 rows, checkpointing off"}

On a GPU the trial is the largest batch there can be, halved until it fits. A CPU does not refuse memory, its system
ends the process: there, what one row leaves behind for the backward pass is counted.

The found number is kept when training goes on: another one would change the rounding of sums.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from paris.experts.errors import TrainingError
from paris.experts.files import write_whole
from paris.experts.settings import Settings

_FILE = "micro_batch.json"
_COPIES = 5
"""Of the weights: themselves, gradients, two moments, average."""
_PROCESS_BYTES = 512 << 20
"""What Python, torch and the data take beside the model."""
_WORKSPACE = 1.3
"""Gradients and intermediate results of a layer, beside what the forward pass keeps."""


class _Remembered(Settings):
    """micro_batch.json."""

    rows: Annotated[int, Field(ge=1)]
    circumstances: Annotated[str, Field(alias="for")]


@dataclass
class MicroBatch:
    """Rows in memory together; fewer after the memory was found too small.

    Args:
        rows: So many, as found so far.
        path: Where it is remembered; None: nowhere, because it was chosen.
        circumstances: What it holds for.
    """

    rows: int
    path: Path | None = None
    circumstances: str = ""

    @classmethod
    def remembered(cls, work_dir: Path, circumstances: str) -> MicroBatch | None:
        """What an earlier trial in the same circumstances found; None where there was none.

        Args:
            work_dir: The task's folder.
            circumstances: Device, batch size, and whatever else decides what fits.
        """
        path = work_dir / _FILE
        try:
            found = _Remembered.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None  # never tried, or of another version: tried again
        return cls(found.rows, path, circumstances) if found.circumstances == circumstances else None

    @classmethod
    def to_remember(cls, rows: int, work_dir: Path, circumstances: str) -> MicroBatch:
        """The start of a trial, whose outcome `remember` and `halve` write down.

        Args:
            rows: So many at first.
            work_dir: The task's folder.
            circumstances: As for `remembered`.
        """
        return cls(rows, work_dir / _FILE, circumstances)

    def remember(self) -> None:
        """Write it down, where it was not chosen by somebody."""
        if self.path is not None:
            write_whole(self.path, json.dumps({"rows": self.rows, "for": self.circumstances}).encode())

    def halve(self, error: Exception) -> None:
        """Take half from now on, and remember it.

        Args:
            error: What the device said.

        Raises:
            TrainingError: It was one row already.
        """
        if self.rows == 1:
            raise TrainingError(
                "Training does not fit into this machine's memory, even with one row at a time.",
                "Set checkpointing = true, close other programs, or train on a larger device.",
            ) from error
        self.rows = -(-self.rows // 2)
        self.remember()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no memory left: CUDA and ROCm have a type for it, MPS and CPUs say it in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def rows_within(limit_bytes: int, model: nn.Module, one_row: Callable[[], Tensor], batch_size: int) -> int:
    """How many rows fit on a CPU: the batch, halved until what it needs is within the limit.

    Args:
        limit_bytes: What the process may take.
        model: On the CPU.
        one_row: The loss `[]` of one row; its backward pass is not done.
        batch_size: Rows of a whole batch.
    """
    with counted_for_backward(model) as count:
        one_row()
    fixed = _PROCESS_BYTES + _COPIES * sum(parameter.nbytes for parameter in model.parameters())
    rows = batch_size
    while rows > 1 and fixed + rows * count.num_bytes * _WORKSPACE > limit_bytes:
        rows = -(-rows // 2)
    return rows


@dataclass
class Counted:
    """Bytes of tensors that a forward pass kept for the backward pass, each memory once."""

    num_bytes: int = 0


@contextlib.contextmanager
def counted_for_backward(model: nn.Module) -> Iterator[Counted]:
    """Count what is kept inside this context, weights left out.

    Args:
        model: Whose weights do not count: they are there anyway.
    """
    seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    count = Counted()
    # Held until the end, so that no freed memory comes back under the same address and is taken for the same.
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            count.num_bytes += storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield count
