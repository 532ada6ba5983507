"""Batches prepared ahead, while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch

from paris.experts.training.batches import Batch

_POLL_S = 0.2
_JOIN_S = 2.0


class Loader:
    """Batches in the order of their steps, prepared by a thread. Preparing them early changes none of them.

    A context: leaving it ends the thread, once a wait for a shard has ended.

    Args:
        batch: The batch of a step, on the CPU; called in the thread.
        first_step: Of the range of steps.
        steps: Its end.
        ahead: Batches kept ready, at least 1.
        device: Where `next` puts them.
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
            Exception: As preparing this batch raised.
        """
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item.to(self._device)

    def _run(self) -> None:
        for step in self._range:
            try:
                item: Batch | BaseException = self._batch(step).pin_memory(self._device)
            except BaseException as error:  # raised again by `next`
                item = error
            if not self._put(item) or isinstance(item, BaseException):
                return

    def _put(self, item: Batch | BaseException) -> bool:
        """Wait for room; False after the end of the context."""
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
