"""Which shards the trainer needs soon: those must not wait for other volunteers, the others may."""

from __future__ import annotations

from collections.abc import Sequence


class Urgency:
    """How far the trainer is in the order of its shards.

    The shards of the current window are needed now. Those of the next window are needed from the middle of the current
    one on, so that the Hub has the time of half a window to send what other volunteers did not.

    Args:
        shard_rows: Rows of each shard, in the order of the first epoch (`paris.experts.data.shard_order`).
        window_shards: Over how many shards rows are mixed.
        batch_size: Rows of a step.
    """

    def __init__(self, shard_rows: Sequence[int], window_shards: int, batch_size: int) -> None:
        starts = range(0, len(shard_rows), window_shards)
        self._window_rows = [sum(shard_rows[start : start + window_shards]) for start in starts]
        self._window_shards, self._batch_size, self._num_shards = window_shards, batch_size, len(shard_rows)
        self.step = 0
        """Steps that the trainer has done; set from its progress reports."""

    def num_urgent(self) -> int:
        """How many shards, the first of the order, are needed soon."""
        rows = self.step * self._batch_size
        for window, in_window in enumerate(self._window_rows):
            if rows < in_window:
                return min(self._num_shards, (window + 1 + (2 * rows >= in_window)) * self._window_shards)
            rows -= in_window
        return self._num_shards
