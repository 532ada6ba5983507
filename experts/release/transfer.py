"""An expert's weights on their way from its file into a slot.

CPU, from disk       file -> slot, in the bank's thread
CUDA and ROCm        file -> page-locked host memory -> slot, in the bank's thread, on a stream of its own
other devices        file -> host memory in the bank's thread, -> slot in the thread that computes
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.weights.weights_file import WeightsFile

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def empty_expert(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> DiTExpert:
    """A slot: an expert whose tensors are allocated and have no values yet."""
    with torch.device("meta"):
        model = DiTExpert(config)
    return model.to(dtype).to_empty(device=device).eval().requires_grad_(False)


class Transfer:
    """Fills slots of one device.

    Args:
        files: One an expert.
        device: Where the slots lie.
        dtype: Of the slots.
        keep: "memory": each file is read once and stays in host memory; "disk": it is read each time. None: memory,
            but for CPU and MPS, whose memory is the host's.
    """

    def __init__(
        self,
        files: list[WeightsFile],
        device: torch.device,
        dtype: torch.dtype,
        keep: Literal["memory", "disk"] | None,
    ) -> None:
        self.dtype, self.device = dtype, device
        self._files = files
        self._keeps = keep == "memory" or (keep is None and device.type not in ("cpu", "mps"))
        self._host: dict[int | ModelConfig, dict[str, Tensor]] = {}
        """Copies by number; where experts wait on disk, one that all of a size share."""
        self._stream = _own_stream(device)

    def work_so_far(self) -> torch.cuda.Event | None:
        """The work enqueued on the device until now: a slot must not be overwritten before it is done."""
        return torch.cuda.current_stream(self.device).record_event() if self._stream else None

    def fetch(self, number: int, slot: DiTExpert, after: torch.cuda.Event | None) -> float:
        """Runs in the bank's thread: read an expert into its slot, or into host memory where `place` does the rest.

        The slot is not written before `after`, from `work_so_far`, is done.

        Returns:
            Seconds that it took.

        Raises:
            CheckpointError: The file has changed, cannot be read, or holds a value that is not finite.
        """
        begun = time.perf_counter()
        tensors = slot.state_dict()
        if self._direct:
            self._files[number].read_into(tensors)
            return time.perf_counter() - begun
        with self._on_own_stream():
            host = self._in_host_memory(number, slot.config, tensors)
            if self._stream and after:
                self._stream.wait_event(after)
                for name, tensor in tensors.items():
                    tensor.copy_(host[name], non_blocking=True)
                # This thread waits for the copies, so that the slot is full when fetch returns.
                self._stream.synchronize()
        return time.perf_counter() - begun

    def place(self, number: int, slot: DiTExpert) -> float:
        """Runs in the caller's thread after `fetch`: copy to a device that only it may write to; its seconds."""
        if self._direct or self._stream:
            return 0.0
        begun = time.perf_counter()
        host = self._host[number if self._keeps else slot.config]
        for name, tensor in slot.state_dict().items():
            tensor.copy_(host[name])
        return time.perf_counter() - begun

    def __getstate__(self) -> dict[str, Any]:
        # Neither the stream nor page-locked memory can be copied; both are made again where they are needed.
        return {**vars(self), "_host": {}, "_stream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _stream=_own_stream(state["device"]))

    def forget(self) -> None:
        """Free the host copies."""
        self._host.clear()

    @property
    def _direct(self) -> bool:
        return self.device.type == "cpu" and not self._keeps

    def _on_own_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def _in_host_memory(self, number: int, size: ModelConfig, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """The expert's weights in host memory, read from its file where they are not there already."""
        if self._keeps and number in self._host:
            return self._host[number]
        key = number if self._keeps else size
        host = self._host.pop(key, None) or {name: self._host_tensor(tensor) for name, tensor in like.items()}
        self._files[number].read_into(host)
        self._host[key] = host
        return host

    def _host_tensor(self, like: Tensor) -> Tensor:
        # PyTorch hands page-locked memory out in powers of two: 8 experts of dit-xl-2 take up to half as much again.
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=self._stream is not None)


def _own_stream(device: torch.device) -> torch.cuda.Stream | None:
    return torch.cuda.Stream(device) if device.type == "cuda" else None
