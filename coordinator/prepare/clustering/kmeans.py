"""Two-stage k-means: many fine centroids, merged to K; then sizes are balanced, or a catch-all cluster is split.

More than `MOST_AT_ONCE` clusters are found group by group (`nested.py`).

N rows, D features, K clusters, F fine centroids. Features are float16 `[N, D]` and may be a memory map; they are
converted to float32 block by block, and k-means is fitted to a bounded sample, so that memory hardly grows with N.

Source: Decentralized Diffusion Models, arXiv 2501.05450, section 4 (1024 fine centroids merged to K, as in MoDE,
arXiv 2404.16030); the merging weighs each fine centroid by its rows.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from paris.coordinator.prepare.clustering.balance import balanced_labels
from paris.coordinator.prepare.clustering.catch_all import without_catch_all
from paris.coordinator.prepare.clustering.nested import Fitted, nested
from paris.coordinator.prepare.clustering.separation import Silhouette, davies_bouldin, silhouette

MOST_AT_ONCE = 256
"""More clusters than that are found in two levels."""
_BLOCK_ROWS = 16384
_ROWS_PER_FINE = 64
_FEW_ROWS = 2048
_ROUNDS = 20
_ROUNDS_OF_MANY = 4
_RESTARTS = 8
_ALL_POINTS = {"min_points_per_centroid": 1, "max_points_per_centroid": 10**9}


@dataclass(frozen=True)
class Clustering:
    """A partition of the rows."""

    labels: np.ndarray
    """int64 `[N]`: cluster of each row, 0..K-1."""
    centroids: np.ndarray
    """float32 `[K, D]`: mean features of each cluster."""
    away: np.ndarray
    """float32 `[N]`: squared distance of each row to its own centroid."""
    silhouette: Silhouette
    davies_bouldin: float
    sizes_before: list[int]
    """Sizes by the nearest centroid, before balancing or splitting; the largest first."""
    silhouette_before: float
    catch_alls: list[float]
    """Share of all rows in each catch-all cluster that was split."""


def cluster_features(
    features: np.ndarray, num_clusters: int, num_fine: int, balance: float | None, seed: int, catch_all: float = 2.5
) -> Clustering:
    """Split rows into K clusters; deterministic, computed in one thread.

    Few rows are clustered from several seeds, and the tightest result is taken, since a single k-means over a hundred
    rows depends much on its seed. Clusters are numbered by falling size, then by their first row.

    Args:
        features: float16 or float32 `[N, D]`, `N >= K`.
        num_clusters: K.
        num_fine: F, at most a third of the rows.
        balance: Bound on the largest size over the mean; None for no bound.
        seed: Seed of k-means and of the samples.
        catch_all: Size over the mean above which a cluster is split, without a balance.
    """
    with _one_thread():
        if num_clusters <= MOST_AT_ONCE:
            restarts = _RESTARTS if len(features) <= _FEW_ROWS else 1
            fitted = _fitted(features, num_clusters, num_fine, balance, seed, catch_all, restarts)
        else:
            num_groups = math.isqrt(num_clusters)

            def fit(rows: np.ndarray, number: int, bound: float | None, own_seed: int) -> Fitted:
                is_group = len(rows) < len(features)
                own_fine = max(num_fine // num_groups, 4 * number) if is_group else num_fine
                return _fitted(rows, number, own_fine, bound, own_seed, catch_all, 1)

            fitted = nested(features, num_clusters, balance, seed, fit)
        before, _ = nearest(features, fitted.before)
    labels, centroids = _renumbered(fitted.labels, fitted.centroids)
    away = own_distances(features, labels, centroids)
    return Clustering(
        labels=labels,
        centroids=centroids,
        away=away,
        silhouette=silhouette(features, labels, num_clusters, seed),
        davies_bouldin=davies_bouldin(away, labels, centroids),
        sizes_before=sorted(np.bincount(before, minlength=num_clusters).tolist(), reverse=True),
        silhouette_before=silhouette(features, before, num_clusters, seed).mean,
        catch_alls=fitted.catch_alls,
    )


def _fitted(
    features: np.ndarray,
    num_clusters: int,
    num_fine: int,
    balance: float | None,
    seed: int,
    catch_all: float,
    restarts: int,
) -> Fitted:
    """Both stages, then Lloyd's iterations, from one or several seeds; other arguments as in `cluster_features`."""
    found: tuple[float, Fitted] | None = None
    for attempt in range(restarts):
        fine, sizes = fine_centroids(features, num_clusters, num_fine, seed + attempt)
        merged = merged_centroids(fine, sizes, num_clusters, seed + attempt)
        start, split = without_catch_all(fine, sizes, merged, catch_all if balance is None else np.inf)
        labels, centroids, cost = _refined(features, start, balance)
        if found is None or cost < found[0] - 1e-9:
            found = cost, Fitted(labels, centroids, merged, split)
    return found[1]  # type: ignore[index]


def fine_centroids(features: np.ndarray, num_clusters: int, num_fine: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first stage: many centroids of a sample of the rows.

    Args:
        features: `[N, D]`.
        num_clusters: K.
        num_fine: F, at most a third of the rows.
        seed: Seed of k-means and of the sample.

    Returns:
        float32 `[F, D]`, and the number of rows of the sample of each, float32 `[F]`.
    """
    import faiss

    num_fine = max(num_clusters, min(num_fine, len(features) // 3))
    sample = _sample(features, num_fine * _ROWS_PER_FINE, seed)
    fine = faiss.Kmeans(features.shape[1], num_fine, niter=25, seed=seed % 2**31, **_ALL_POINTS)
    fine.train(sample)
    sizes = np.bincount(fine.index.search(sample, 1)[1].ravel(), minlength=num_fine).astype(np.float32)
    return np.asarray(fine.centroids, np.float32), sizes


def merged_centroids(fine: np.ndarray, sizes: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """The second stage: fine centroids, weighted by their rows, merged to K.

    Args:
        fine: float32 `[F, D]`.
        sizes: float32 `[F]`.
        num_clusters: K.
        seed: Seed of k-means.

    Returns:
        float32 `[K, D]`.
    """
    import faiss

    coarse = faiss.Kmeans(fine.shape[1], num_clusters, niter=50, nredo=10, seed=seed % 2**31, **_ALL_POINTS)
    coarse.train(fine, weights=sizes)
    return np.asarray(coarse.centroids, np.float32)


def nearest(features: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """The nearest centroid of each row, int64 `[N]`, and the mean squared distance to it."""
    labels, total = np.empty(len(features), np.int64), 0.0
    for start in range(0, len(features), _BLOCK_ROWS):
        away = distances(features[start : start + _BLOCK_ROWS], centroids)
        labels[start : start + len(away)] = np.argmin(away, axis=1)
        total += float(away.min(axis=1).sum(dtype=np.float64))
    return labels, total / len(features)


def own_distances(features: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared distance of each row to the centroid of its label, float32 `[N]`."""
    out = np.empty(len(features), np.float32)
    for start in range(0, len(features), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        apart = np.asarray(features[block], np.float32) - centroids[labels[block]]
        out[block] = np.einsum("nd,nd->n", apart, apart)
    return out


def distances(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, float32 `[N, K]`, block by block."""
    out = np.empty((len(features), len(centroids)), np.float32)
    centroids = np.asarray(centroids, np.float32)
    norms = (centroids**2).sum(axis=1)
    for start in range(0, len(features), _BLOCK_ROWS):
        block = np.asarray(features[start : start + _BLOCK_ROWS], np.float32)
        out[start : start + len(block)] = (block**2).sum(axis=1)[:, None] + norms - 2 * block @ centroids.T
    return np.maximum(out, 0, out=out)


def _refined(
    features: np.ndarray, centroids: np.ndarray, balance: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Lloyd's iterations until no label changes; returns labels, centroids, mean squared distance."""
    labels = np.full(len(features), -1)
    for _ in range(_ROUNDS if len(features) <= _FEW_ROWS else _ROUNDS_OF_MANY):
        if balance is None:
            new, cost = nearest(features, centroids)
        else:
            away = distances(features, centroids)
            new = balanced_labels(away, balance)
            cost = float(away[np.arange(len(new)), new].mean())
        if np.array_equal(new, labels):
            break
        labels, centroids = new, _means(features, new, centroids)
    return labels, centroids, cost


def _means(features: np.ndarray, labels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Mean features of each cluster; an empty one keeps its centroid."""
    sums = np.zeros(before.shape, np.float64)
    for start in range(0, len(features), _BLOCK_ROWS):
        block = np.asarray(features[start : start + _BLOCK_ROWS], np.float64)
        sums += np.eye(len(before))[labels[start : start + len(block)]].T @ block
    sizes = np.bincount(labels, minlength=len(before))[:, None]
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), before).astype(np.float32)


def _renumbered(labels: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the clusters by falling size, then by their first row."""
    sizes = np.bincount(labels, minlength=len(centroids))
    firsts = np.full(len(centroids), len(labels))
    found, first_rows = np.unique(labels, return_index=True)
    firsts[found] = first_rows
    order = np.lexsort((firsts, -sizes))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return number[labels], centroids[order]


def _sample(features: np.ndarray, num_rows: int, seed: int) -> np.ndarray:
    if len(features) <= num_rows:
        return np.ascontiguousarray(features, np.float32)
    rows = np.sort(np.random.default_rng([seed, 1]).permutation(len(features))[:num_rows])
    return np.ascontiguousarray(features[rows], np.float32)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run faiss in one thread: sums over threads have no fixed order, and digests must not depend on it."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
