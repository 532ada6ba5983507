"""Clusters: two-stage k-means, even sizes, silhouettes, each against an independent route."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from paris.coordinator.prepare.clustering.balance import balanced_labels, exact_labels, priced_labels, size_bounds
from paris.coordinator.prepare.clustering.kmeans import cluster_features, distances, fine_centroids, merged_centroids
from paris.coordinator.prepare.clustering.separation import davies_bouldin, silhouette


def blobs(sizes: list[int], width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), width)) * 10
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return (centres[truth] + rng.normal(size=(len(truth), width))).astype(np.float16), truth


def test_well_separated_blobs_are_found_whatever_their_sizes() -> None:
    features, truth = blobs([50, 20, 10])
    found = cluster_features(features, 3, 16, None, seed=1)
    assert sorted(np.bincount(found.labels).tolist()) == [10, 20, 50]
    assert all(len(set(found.labels[truth == k])) == 1 for k in range(3))
    assert found.silhouette.mean > 0.5


def test_clusters_are_numbered_by_falling_size() -> None:
    features, _ = blobs([10, 50, 20])
    assert np.bincount(cluster_features(features, 3, 16, None, seed=1).labels).tolist() == [50, 20, 10]


def test_centroids_are_the_means_of_their_rows() -> None:
    features, _ = blobs([30, 30])
    found = cluster_features(features, 2, 16, 1.1, seed=0)
    for k in range(2):
        expected = features[found.labels == k].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found.centroids[k], expected, rtol=1e-5, atol=1e-5)


def test_merging_weighs_fine_centroids_by_their_rows() -> None:
    # One dense blob, one sparse: unweighted, the many fine centroids of the dense one would count the same.
    line = np.concatenate([np.linspace(0, 1, 900), np.linspace(9, 11, 100)])[:, None].astype(np.float32)
    centroids = np.sort(merged_centroids(*fine_centroids(line, 2, 64, seed=0), 2, seed=0).ravel())
    np.testing.assert_allclose(centroids, [0.5, 10.0], atol=0.05)


def test_the_same_features_and_seed_give_the_same_clusters() -> None:
    features, _ = blobs([40, 40, 40], seed=3)
    first, second = (cluster_features(features, 4, 16, 1.1, seed=5) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.centroids, second.centroids)


def test_block_distances_are_squared_euclidean_distances() -> None:
    rng = np.random.default_rng(0)
    points, centres = rng.normal(size=(70, 5)), rng.normal(size=(3, 5))
    naive = [[sum((p - c) ** 2) for c in centres] for p in points]
    np.testing.assert_allclose(distances(points, centres), naive, rtol=1e-4, atol=1e-5)


def best_by_trying_all(away: np.ndarray, low: int, high: int) -> float:
    rows, clusters = away.shape
    costs = []
    for labels in itertools.product(range(clusters), repeat=rows):
        sizes = np.bincount(labels, minlength=clusters)
        if sizes.min() >= low and sizes.max() <= high:
            costs.append(away[np.arange(rows), labels].sum())
    return float(min(costs))


@pytest.mark.parametrize(("rows", "clusters", "balance"), [(6, 3, 1.0), (7, 3, 1.0), (7, 2, 1.5), (8, 3, 1.4)])
def test_exact_assignment_is_the_best_of_all(rows: int, clusters: int, balance: float) -> None:
    away = np.random.default_rng(rows * clusters).random((rows, clusters))
    low, high = size_bounds(rows, clusters, balance)
    labels = exact_labels(away, low, high)
    assert away[np.arange(rows), labels].sum() == pytest.approx(best_by_trying_all(away, low, high))


def test_prices_come_close_to_the_exact_assignment() -> None:
    rng = np.random.default_rng(0)
    away = rng.random((600, 4)) + np.array([0, 0.3, 0.6, 0.9])
    low, high = size_bounds(600, 4, 1.05)
    here = np.arange(600)
    exact = away[here, exact_labels(away, low, high)].sum()
    priced = away[here, priced_labels(away, low, high)].sum()
    assert exact <= priced <= 1.001 * exact


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 60),
    clusters=st.integers(1, 7),
    balance=st.floats(1.0, 2.0),
    seed=st.integers(0, 1000),
    ties=st.booleans(),
)
def test_sizes_stay_within_the_bounds_however_it_is_assigned(
    rows: int, clusters: int, balance: float, seed: int, ties: bool
) -> None:
    away = np.random.default_rng(seed).random((rows, clusters))
    away = np.ones_like(away) if ties else away * np.arange(1, clusters + 1)
    low, high = size_bounds(rows, clusters, balance)
    assert low * clusters <= rows <= high * clusters
    for labels in (exact_labels(away, low, high), priced_labels(away, low, high), balanced_labels(away, balance)):
        sizes = np.bincount(labels, minlength=clusters)
        assert sizes.min() >= low
        assert sizes.max() <= high


def naive_silhouette(points: np.ndarray, labels: np.ndarray) -> list[float]:
    scores = []
    for i, point in enumerate(points):
        apart = [float(np.linalg.norm(point - other)) for other in points]
        means = {
            k: np.mean([apart[j] for j in range(len(points)) if labels[j] == k and j != i])
            for k in set(labels.tolist())
            if any(labels[j] == k and j != i for j in range(len(points)))
        }
        a = means.pop(labels[i], None)
        b = min(means.values(), default=None)
        scores.append(0.0 if a is None or b is None else (b - a) / max(a, b))
    return scores


def test_silhouette_follows_its_definition() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(25, 3)), rng.integers(0, 3, 25)
    labels[0] = 3  # a row alone in its cluster
    expected = naive_silhouette(points, labels)
    found = silhouette(points, labels, 4, seed=0)
    assert found.mean == pytest.approx(np.mean(expected))
    for k in range(4):
        assert found.by_cluster[k] == pytest.approx(
            np.mean([s for s, own in zip(expected, labels, strict=True) if own == k]), abs=1e-6
        )


def naive_davies_bouldin(points: np.ndarray, labels: np.ndarray) -> float:
    own = {k: points[labels == k] for k in set(labels.tolist())}
    means = {k: sum(rows) / len(rows) for k, rows in own.items()}
    spread = {k: sum(float(np.linalg.norm(row - means[k])) for row in rows) / len(rows) for k, rows in own.items()}
    worst = [
        max((spread[i] + spread[j]) / float(np.linalg.norm(means[i] - means[j])) for j in own if j != i) for i in own
    ]
    return sum(worst) / len(worst)


def test_davies_bouldin_follows_its_definition() -> None:
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    centroids = np.stack([points[labels == k].mean(axis=0) for k in range(4)] + [np.full(3, 9.0)])  # the last is empty
    away = ((points - centroids[labels]) ** 2).sum(axis=1)
    assert davies_bouldin(away, labels, centroids) == pytest.approx(naive_davies_bouldin(points, labels))


def many_tight_and_one_wide(seed: int = 0) -> np.ndarray:
    """Seven tight groups of 60 rows each far apart, six of them in near pairs, and 500 rows scattered between."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(4, 16)) * 12, 2, axis=0)[:7] + rng.normal(size=(7, 16)) * 2
    tight = np.repeat(centres, 60, axis=0) + rng.normal(size=(420, 16)) * 0.1
    return np.concatenate([tight, rng.normal(size=(500, 16))]).astype(np.float16)


def test_a_catch_all_cluster_is_found_and_split() -> None:
    features = many_tight_and_one_wide()
    split = cluster_features(features, 8, 256, None, seed=0, catch_all=2.5)
    sizes = np.bincount(split.labels, minlength=8)
    assert split.sizes_before[0] == 500
    assert split.catch_alls == [pytest.approx(500 / 920)]
    assert sizes.max() <= 2.5 * len(features) / 8
    assert sizes.min() > 0
    scattered = split.labels[420:]
    assert len(set(scattered)) == 2
    assert not set(scattered) & set(split.labels[:420])


def test_clusters_without_a_catch_all_are_left_as_they_are() -> None:
    features, _ = blobs([50, 40, 30, 30])
    found = cluster_features(features, 4, 16, None, seed=1, catch_all=2.5)
    assert found.catch_alls == []
    same = cluster_features(features, 4, 16, None, seed=1, catch_all=float("inf"))
    assert np.array_equal(found.labels, same.labels)
