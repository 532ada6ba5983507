"""The shards of one cluster, some of them open at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from paris.experts.data.shards import FETCH_AGAIN, ShardFile
from paris.experts.errors import ShardError

_POLL_S = 0.2


class ClusterData:
    """A cluster's shards in the order of its manifest.

    Args:
        paths: The files, in the order of the manifest.
        max_open: Shards that stay decoded; None: all.
    """

    def __init__(self, paths: Sequence[Path], max_open: int | None = None) -> None:
        self._path: Callable[[int], Path] = paths.__getitem__
        self._expected_rows: Sequence[int] | None = None
        self._max_open = max_open or len(paths)
        self._open: OrderedDict[int, ShardFile] = OrderedDict()
        self._shape: tuple[int, ...] | None = None
        """Of the run's latents; None: that of the first shard."""
        self._first: tuple[Path, np.dtype, tuple[int, ...]] | None = None
        """Path, type and shape of the first shard that was opened."""
        self.num_shards = len(paths)

    @classmethod
    def arriving(
        cls,
        shard_path: Callable[[int], Path],
        shard_rows: Sequence[int],
        shape: tuple[int, ...],
        max_open: int | None = None,
    ) -> ClusterData:
        """A cluster whose files may still be downloading.

        Args:
            shard_path: The file of shard i; may block until it exists.
            shard_rows: Rows of each shard, in the order of the manifest.
            shape: Of every stored latent, as the run's model takes it; with the rows it bounds what a shard decodes to.
            max_open: Shards that stay decoded; None: all.
        """
        data = cls([], max_open or len(shard_rows))
        data._shape = shape
        data._path, data._expected_rows, data.num_shards = shard_path, tuple(shard_rows), len(shard_rows)
        return data

    @property
    def shard_rows(self) -> tuple[int, ...]:
        """Rows of each shard; opens every file, and keeps none open."""
        return tuple(self.opened(index).num_rows for index in range(self.num_shards))

    def shard(self, index: int) -> ShardFile:
        """One shard, opened on first use, in place of the least recently used one; raises as `opened`."""
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index]
        shard = self._open[index] = self.opened(index)
        while len(self._open) > self._max_open:
            self._open.popitem(last=False)
        return shard

    def opened(self, index: int) -> ShardFile:
        """One shard that the caller alone keeps: its columns are freed with it.

        Raises:
            ShardError: Not a shard, or its number of rows, shape or type is not the run's or the other shards'. No
                column was decoded.
        """
        shard = ShardFile(self._path(index))
        self._check(index, shard)
        return shard

    def latents(self, rows: Sequence[tuple[int, int]]) -> np.ndarray:
        """Stored latents `[B, *shape]` of rows given as shard number and row number."""
        return np.stack([self.shard(shard).latents[row] for shard, row in rows])

    def captions(self, rows: Sequence[tuple[int, int]]) -> list[str]:
        """Captions of rows given as shard number and row number."""
        return [self.shard(shard).captions[row] for shard, row in rows]

    def _check(self, index: int, shard: ShardFile) -> None:
        if self._expected_rows and shard.num_rows != self._expected_rows[index]:
            expected = self._expected_rows[index]
            raise ShardError(f"{shard.path} has {shard.num_rows} rows, the manifest says {expected}.", FETCH_AGAIN)
        if self._shape not in (None, shard.shape):
            raise ShardError(f"{shard.path} holds {list(shard.shape)}, the run {list(self._shape or ())}.", FETCH_AGAIN)
        if self._first is None:
            self._first = shard.path, shard.dtype, shard.shape
        path, dtype, shape = self._first
        if (shard.shape, shard.dtype) != (shape, dtype):
            raise ShardError(f"{shard.path} holds {shard.dtype} {list(shard.shape)}, {path} {dtype} {list(shape)}.")


def wait_for_shard(path: Path, should_stop: Callable[[], bool]) -> Path:
    """Block until a shard exists: another process downloads it and renames it into place.

    Raises:
        ShardError: `should_stop`, which is polled, returned True first.
    """
    pause = threading.Event()
    while not path.exists():
        if should_stop():
            raise ShardError(f"Stopped while waiting for {path.name}.", "Start the same command again to go on.")
        pause.wait(_POLL_S)
    return path
