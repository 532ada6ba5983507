"""The next batches, prepared in the background while the present one is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch

from paris.experts.training.batches import Batch

_LOOK_S = 0.2
_JOIN_S = 2.0


class Loader:
    """Batches in the order of their steps. They are the same whether they were prepared early or not.

    Use it as a context: leaving it ends the background work. Work that waits for a shard ends when that wait does.

    Args:
        batch: The batch of a step; called in the background, one step after the other.
        first_step: The step that `next` begins with.
        steps: Where it ends.
        ahead: Batches kept ready, at least 1.
        device: Where they will go: memory is pinned for a GPU.
    """

    def __init__(
        self, batch: Callable[[int], Batch], first_step: int, steps: int, ahead: int, device: torch.device
    ) -> None:
        self._batch, self._device = batch, device
        self._range = range(first_step, steps)
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def __enter__(self) -> Loader:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join(_JOIN_S)

    def next(self) -> Batch:
        """The next step's batch, on the device.

        Raises:
            Exception: What preparing this very batch raised; those before it were handed out.
        """
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item.to(self._device)

    def _run(self) -> None:
        for step in self._range:
            try:
                item: Batch | BaseException = self._batch(step).pinned(self._device)
            except BaseException as error:  # whatever it is, the trainer is who must hear of it
                item = error
            if not self._put(item) or isinstance(item, BaseException):
                return

    def _put(self, item: Batch | BaseException) -> bool:
        """Wait for room; False when nobody will ask any more."""
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False
