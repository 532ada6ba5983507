"""Memory of forward and backward passes: whether a device is full, and what a batch takes on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paris.experts.training.needs import PROCESS_BYTES, WORKSPACE

_MODEL_COPIES = 5
"""Weights, gradients, two moments, EMA."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no memory left: CUDA and ROCm have a type for it, MPS and CPUs a message."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    messages = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in messages)


def rows_within(limit_bytes: int, model: nn.Module, one_row: Callable[[], object], batch_size: int) -> int:
    """How many rows fit on a CPU: the batch, halved until the estimate is within the process's limit.

    `one_row` does the forward pass of one row, and may go on to its backward pass.
    """
    with counted_for_backward(model) as count:
        one_row()
    fixed = PROCESS_BYTES + _MODEL_COPIES * sum(parameter.nbytes for parameter in model.parameters())
    rows = batch_size
    while rows > 1 and fixed + rows * count.num_bytes * WORKSPACE > limit_bytes:
        rows = -(-rows // 2)
    return rows


@dataclass
class SavedBytes:
    """Bytes of tensors that a forward pass keeps for the backward pass, each storage once."""

    num_bytes: int = 0


@contextlib.contextmanager
def counted_for_backward(model: nn.Module) -> Iterator[SavedBytes]:
    """Count inside this context, up to the start of the backward pass, without the model's weights."""
    seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    count = SavedBytes()
    # Held until the end: a freed storage's address could be reused, and be taken for the same storage.
    kept: list[Tensor] = []
    is_forward = True

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if is_forward and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            count.num_bytes += storage.nbytes()
            kept.append(tensor)
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        nonlocal is_forward
        is_forward = False
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield count
