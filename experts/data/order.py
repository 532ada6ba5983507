"""The rows of batch s: a function of (run seed, task, lane, s) alone.

An epoch takes all shards in a shuffled order, a window of them at a time, and the rows of a window in a shuffled
order. So training can start with the first window's shards, and needs two windows at most at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from paris.experts.data.shard_order import shard_order
from paris.experts.errors import TrainingError
from paris.experts.seeding import generator_for


class RowOrder:
    """The order in which a task sees its rows, epoch after epoch.

    Args:
        seed: The run's seed.
        name: `drawn_as`, such as "expert-3".
        shard_rows: Rows of each shard, in the order of the manifest.
        window_shards: Shards over which rows are shuffled together.

    Raises:
        TrainingError: A shard, or the task, has no rows.
    """

    def __init__(self, seed: int, name: str, shard_rows: Sequence[int], window_shards: int) -> None:
        if not shard_rows or min(shard_rows) < 1 or window_shards < 1:
            raise TrainingError(f"Task {name} has no rows to train on: {list(shard_rows)} rows a shard.")
        self._seed, self._name = seed, name
        self._shard_rows = tuple(shard_rows)
        self._window_shards = window_shards
        self.num_rows = sum(shard_rows)
        # Two of each: a batch may span the end of a window or of an epoch.
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)
        self._window = lru_cache(maxsize=2)(self._make_window)

    def batch(self, step: int, batch_size: int) -> list[tuple[int, int]]:
        """The rows of one batch, as shard number and row number; a row repeats only where two epochs meet.

        Args:
            step: Number of the batch, from 0.
            batch_size: The same for all batches of the task.
        """
        rows: list[tuple[int, int]] = []
        position = step * batch_size
        while len(rows) < batch_size:
            piece = self._slice(position, batch_size - len(rows))
            rows += map(tuple, piece.tolist())
            position += len(piece)
        return rows

    def _slice(self, position: int, limit: int) -> np.ndarray:
        """Rows `[n, 2]` from a position in the endless sequence to the end of its window, at most `limit`."""
        epoch, offset = divmod(position, self.num_rows)
        _, starts = self._epoch(epoch)
        window = int(np.searchsorted(starts, offset, side="right")) - 1
        begin = offset - int(starts[window])
        return self._window(epoch, window)[begin : begin + limit]

    def _make_epoch(self, epoch: int) -> tuple[list[list[int]], np.ndarray]:
        """An epoch's windows of shards, and the first row of each."""
        shards = shard_order(self._seed, self._name, len(self._shard_rows), epoch)
        windows = [shards[i : i + self._window_shards] for i in range(0, len(shards), self._window_shards)]
        sizes = [sum(self._shard_rows[shard] for shard in window) for window in windows]
        return windows, np.cumsum([0, *sizes[:-1]])

    def _make_window(self, epoch: int, window: int) -> np.ndarray:
        """The shuffled rows of one window `[n, 2]`."""
        shards = self._epoch(epoch)[0][window]
        rows = [np.stack([np.full(self._shard_rows[s], s), np.arange(self._shard_rows[s])], axis=1) for s in shards]
        unshuffled = np.concatenate(rows)
        return unshuffled[self._shuffled(len(unshuffled), "rows", epoch, window)]

    def _shuffled(self, count: int, *name: str | int) -> np.ndarray:
        generator = generator_for(self._seed, "order", self._name, *name)
        return torch.randperm(count, generator=generator).numpy()
