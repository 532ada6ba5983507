"""Catch-all clusters: a cluster of dissimilar rows with far more than its share of all rows.

K-means can leave one if the other clusters are tight: in a public trial of eight clusters it had 42 % of all rows. Its
expert has no common theme to learn, and trains as long as several others. It is split in two along its fine centroids,
and the two clusters with the cheapest union are merged, until no cluster is too large.

F fine centroids, K clusters, D features.
"""

from __future__ import annotations

import numpy as np


def without_catch_all(
    fine: np.ndarray, sizes: np.ndarray, centroids: np.ndarray, max_ratio: float
) -> tuple[np.ndarray, list[float]]:
    """Split catch-all clusters.

    Args:
        fine: float32 `[F, D]`.
        sizes: Rows of each fine centroid `[F]`.
        centroids: float32 `[K, D]`.
        max_ratio: Rows of a cluster over the mean above which it is a catch-all.

    Returns:
        Centroids float32 `[K, D]`, unchanged without a catch-all, and the share of all rows of each catch-all. A
        cluster of one fine centroid cannot be split; nothing is split if no two others can be merged.
    """
    num_clusters = len(centroids)
    labels = np.argmin(((fine[:, None] - centroids) ** 2).sum(axis=2), axis=1)
    limit = max_ratio * float(sizes.sum()) / num_clusters
    split: list[float] = []
    for _ in range(num_clusters):
        rows = np.bincount(labels, sizes, num_clusters)
        largest = int(np.argmax(rows))
        pair = _closest_pair(fine, sizes, labels, num_clusters, largest, limit)
        if rows[largest] <= limit or np.count_nonzero(labels == largest) < 2 or pair is None:
            break
        split.append(float(rows[largest] / rows.sum()))
        labels[labels == pair[1]] = pair[0]
        members = np.flatnonzero(labels == largest)
        labels[members[_second_half(fine[members], sizes[members])]] = pair[1]
    if not split:
        return centroids, split
    return _means(fine, sizes, labels, num_clusters)[0].astype(np.float32), split


def _means(fine: np.ndarray, sizes: np.ndarray, labels: np.ndarray, num_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean `[K, D]` and rows `[K]` of each cluster."""
    weights = np.eye(num_clusters)[labels].T * sizes
    rows = weights.sum(axis=1)
    return weights @ fine.astype(np.float64) / np.maximum(rows, 1e-12)[:, None], rows


def _closest_pair(
    fine: np.ndarray, sizes: np.ndarray, labels: np.ndarray, num_clusters: int, largest: int, limit: float
) -> tuple[int, int] | None:
    """The two clusters, other than the largest, with the cheapest union that is no catch-all itself.

    Source: Ward 1963, Hierarchical Grouping to Optimize an Objective Function: `n m / (n + m) |a - b|^2`.
    """
    means, rows = _means(fine, sizes, labels, num_clusters)
    together = rows[:, None] + rows
    loss = rows[:, None] * rows / np.maximum(together, 1e-12) * ((means[:, None] - means) ** 2).sum(axis=2)
    loss[together > limit] = np.inf
    loss[largest], loss[:, largest] = np.inf, np.inf
    loss[np.tril_indices(num_clusters)] = np.inf
    first, second = divmod(int(np.argmin(loss)), num_clusters)
    return (first, second) if np.isfinite(loss[first, second]) else None


def _second_half(points: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mask `[F]` of a weighted split in two: by the principal axis first, then by 2-means."""
    weights = sizes / sizes.sum()
    centred = points - weights @ points
    axis = np.linalg.svd(centred * np.sqrt(weights)[:, None], full_matrices=False)[2][0]
    side = centred @ axis > 0
    for _ in range(20):
        if side.all() or not side.any():
            break
        means = [np.average(points[half], axis=0, weights=sizes[half] + 1e-12) for half in (~side, side)]
        away = [((points - mean) ** 2).sum(axis=1) for mean in means]
        if np.array_equal(away[1] < away[0], side):
            break
        side = away[1] < away[0]
    if side.all() or not side.any():
        side = np.arange(len(points)) % 2 == 1  # all points are one
    return np.asarray(side)
