"""Two usual figures of cluster separation: the silhouette and the Davies-Bouldin index.

The silhouette compares rows with rows, on a sample if there are many; the Davies-Bouldin index compares all rows with
centroids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SAMPLE_ROWS = 4096


@dataclass(frozen=True)
class Silhouette:
    """Means of the rows' silhouettes, each in [-1, 1]; near 0, clusters overlap."""

    mean: float
    by_cluster: list[float]


def silhouette(features: np.ndarray, labels: np.ndarray, num_clusters: int, seed: int) -> Silhouette:
    """Mean silhouette, over all rows and by cluster.

    For a row, `a` is its mean distance to its own cluster's other rows and `b` the least mean distance to another
    cluster's; its silhouette is `(b - a) / max(a, b)`, and 0 for the only row of a cluster.

    Args:
        features: `[N, D]`.
        labels: int `[N]`.
        num_clusters: K.
        seed: Seed of the sample, taken from more than 4096 rows.

    Source: Rousseeuw 1987, Silhouettes, equations 1-4.
    """
    rows = np.arange(len(features))
    if len(rows) > _SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng([seed, 2]).permutation(len(rows))[:_SAMPLE_ROWS])
    points, own = np.asarray(features[rows], np.float64), labels[rows]
    norms = (points**2).sum(axis=1)
    apart = np.sqrt(np.maximum(norms[:, None] + norms - 2 * points @ points.T, 0))
    sizes = np.bincount(own, minlength=num_clusters)
    sums = apart @ np.eye(num_clusters)[own]
    here = np.arange(len(rows))
    a = sums[here, own] / np.maximum(sizes[own] - 1, 1)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    means[here, own] = np.inf
    b = means.min(axis=1)
    scores = np.zeros(len(rows))
    known = (sizes[own] > 1) & np.isfinite(b)
    scores[known] = (b[known] - a[known]) / np.maximum(np.maximum(a[known], b[known]), 1e-12)
    by_cluster = [float(scores[own == k].mean()) if sizes[k] else 0.0 for k in range(num_clusters)]
    return Silhouette(float(scores.mean()) if len(scores) else 0.0, [round(value, 6) for value in by_cluster])


def davies_bouldin(away: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> float:
    """Mean over the clusters of the overlap with the most overlapping other cluster; 0 is best.

    The overlap of clusters i and j is `(s_i + s_j) / m_ij`: the mean distances of their rows to their centroids over
    the distance between the centroids. Clusters without rows are left out; a single cluster has 0.

    Args:
        away: `[N]`, squared distance of each row to its own centroid.
        labels: int `[N]`.
        centroids: `[K, D]`, the means of the rows.

    Source: Davies and Bouldin 1979, A Cluster Separation Measure, with p = 2 and q = 1, as scikit-learn has it.
    """
    sizes = np.bincount(labels, minlength=len(centroids))
    spread = np.bincount(labels, np.sqrt(np.asarray(away, np.float64)), len(centroids)) / np.maximum(sizes, 1)
    there = sizes > 0
    spread, means = spread[there], np.asarray(centroids, np.float64)[there]
    # Row by row: all differences at once are K x K x D numbers.
    apart = np.sqrt(np.stack([((mean - means) ** 2).sum(axis=1) for mean in means]))
    np.fill_diagonal(apart, np.inf)
    worst = ((spread[:, None] + spread) / np.maximum(apart, 1e-12)).max(axis=1)
    return float(worst.mean())
