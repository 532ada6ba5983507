"""Many clusters, found group by group."""

from __future__ import annotations

import numpy as np
import pytest

from paris.coordinator.prepare.clustering import kmeans
from paris.coordinator.prepare.clustering.kmeans import cluster_features
from paris.coordinator.prepare.clustering.nested import shares_of

NUM_CLUSTERS, ROWS = 12, 40


@pytest.fixture
def blobs(monkeypatch):
    """Rows of twelve tight kinds, and each row's kind; more than eight clusters are found in two levels."""
    monkeypatch.setattr(kmeans, "MOST_AT_ONCE", 8)
    draw = np.random.default_rng(0)
    kinds = np.repeat(np.arange(NUM_CLUSTERS), ROWS)[draw.permutation(NUM_CLUSTERS * ROWS)]
    centres = draw.normal(size=(NUM_CLUSTERS, 16))
    return (centres[kinds] + 0.05 * draw.normal(size=(len(kinds), 16))).astype(np.float16), kinds


def test_kinds_are_found_in_two_levels(blobs):
    features, kinds = blobs
    found = cluster_features(features, NUM_CLUSTERS, 48, 1.1, seed=3)
    for cluster in range(NUM_CLUSTERS):
        members = kinds[found.labels == cluster]
        assert np.bincount(members).max() >= 0.9 * len(members)
    for cluster, centroid in enumerate(found.centroids):
        assert np.allclose(centroid, features[found.labels == cluster].mean(axis=0, dtype=np.float64), atol=1e-2)
    again = cluster_features(features, NUM_CLUSTERS, 48, 1.1, seed=3)
    assert np.array_equal(found.labels, again.labels)


@pytest.mark.parametrize("balance", [1.0, 1.2])
def test_sizes_keep_their_bounds_in_two_levels(blobs, balance):
    features, kinds = blobs
    uneven = features[(kinds > 3) | (np.arange(len(kinds)) % 4 == 0)]
    sizes = np.bincount(cluster_features(uneven, NUM_CLUSTERS, 48, balance, seed=3).labels, minlength=NUM_CLUSTERS)
    mean = len(uneven) / NUM_CLUSTERS
    slack = 1 if balance > 1 else 0.1 * mean
    assert sizes.max() <= balance * mean + slack
    assert sizes.min() >= (2 - balance) * mean - slack


def test_without_a_bound_no_cluster_is_empty(blobs):
    features, _ = blobs
    found = cluster_features(features, NUM_CLUSTERS, 48, None, seed=3)
    assert np.bincount(found.labels, minlength=NUM_CLUSTERS).min() > 0


@pytest.mark.parametrize(
    ("sizes", "num_clusters", "shares"),
    [
        ([100, 100, 100], 9, [3, 3, 3]),
        ([300, 100, 50], 9, [6, 2, 1]),
        ([1000, 1, 1], 9, [7, 1, 1]),
        ([5, 5, 0], 4, [2, 2, 0]),
        ([2, 2, 96], 100, [2, 2, 96]),
    ],
)
def test_a_group_gets_clusters_by_its_rows(sizes, num_clusters, shares):
    assert shares_of(sizes, num_clusters) == shares
