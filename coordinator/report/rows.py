"""Rows of a prepared run, for the report: held-out rows, and training rows, of a very large run some shards of them.

Shapes: N rows; `*shape` of a stored row, pixels or latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import ShardFile

MAX_ROWS = 100_000
"""Training rows that are read."""


class TrainingRows:
    """Training rows of all clusters, read shard by shard; at most about `most` of them.

    Args:
        run: A prepared run.
        most: Rows; of a larger run the first shards of each cluster are taken in turn. Shards are shuffled.
    """

    def __init__(self, run: RunDir, most: int = MAX_ROWS) -> None:
        manifests = load_manifests(run)
        self._data = [ClusterData([run.data / shard.path for shard in manifest.shards]) for manifest in manifests]
        self._shards: list[tuple[int, int, int]] = []
        """Cluster, shard and number of rows."""
        self.num_all = sum(shard.rows for manifest in manifests for shard in manifest.shards)
        """Rows of the run, also of the shards that are not read."""
        captions: list[str] = []
        clusters: list[int] = []
        in_turn = zip_longest(*([(k, i) for i in range(data.num_shards)] for k, data in enumerate(self._data)))
        for cluster, index in (place for turn in in_turn for place in turn if place is not None):
            if len(captions) >= most:
                break
            found = self._data[cluster].opened(index).captions
            self._shards.append((cluster, index, len(found)))
            captions += found
            clusters += [cluster] * len(found)
        self.captions = captions
        self.clusters: NDArray[np.int64] = np.array(clusters, np.int64)

    def __len__(self) -> int:
        return len(self.captions)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The place of the first row of each shard, and the stored rows of the shard `[n, *shape]`."""
        first = 0
        for cluster, index, num_rows in self._shards:
            yield first, self._data[cluster].opened(index).latents
            first += num_rows

    def stored(self, places: NDArray[np.int64]) -> np.ndarray:
        """Stored rows at places `[n]`, in their order: `[n, *shape]`."""
        found: dict[int, np.ndarray] = {}
        first = 0
        for cluster, index, num_rows in self._shards:
            inside = places[(places >= first) & (places < first + num_rows)]
            if len(inside):
                stored = self._data[cluster].opened(index).latents
                found |= {int(place): np.array(stored[place - first]) for place in inside}
            first += num_rows
        return np.stack([found[int(place)] for place in places])


class HeldoutRows:
    """Secret rows of each cluster.

    Args:
        run: A prepared run.
        most: Rows in all; the same number of each cluster, as far as it has them.
    """

    def __init__(self, run: RunDir, most: int) -> None:
        files = run.heldout_files
        each = max(1, most // len(files))
        shards = [(k, ShardFile(path)) for k, path in enumerate(files) if path.is_file()]
        self.captions = [caption for _, shard in shards for caption in shard.captions[:each]]
        self.clusters = np.array([k for k, shard in shards for _ in range(min(each, shard.num_rows))], np.int64)
        self.stored = np.concatenate([shard.latents[:each] for _, shard in shards]) if shards else None
        """`[N, *shape]`; None if the rows are not on this machine."""

    def __len__(self) -> int:
        return len(self.captions)


def some_places(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Places of at most `most` of `count` rows, drawn without repetition, in order; all if there are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 23]).permutation(count)[:most])
