"""Each row's cluster, whether it is held out, and its place in a shard.

    row -> training, cluster 2, shard 1, place 17        row -> held out, cluster 0        row -> not used

The plan depends on features, settings and seed only, and is made before the second pass over the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.optimize import linear_sum_assignment

from paris.coordinator.prepare.clustering.kmeans import Clustering, cluster_features, distances
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import TooFewRowsError


@dataclass(frozen=True)
class ClusterPlan:
    """The rows of one cluster, as places in the item table."""

    cluster: int
    training: np.ndarray
    """int64, in the order of the shards."""
    heldout: np.ndarray
    """int64, the secret rows."""
    typical: np.ndarray
    """int64, the training rows, nearest to the centroid first."""

    def shards(self, rows_per_shard: int) -> list[np.ndarray]:
        """The training rows, split into shards."""
        return [self.training[i : i + rows_per_shard] for i in range(0, len(self.training), rows_per_shard)]


@dataclass(frozen=True)
class Plan:
    """All clusters, and the figures of the clustering."""

    clusters: list[ClusterPlan]
    clustering: Clustering


def make_plan(table: pa.Table, index: np.ndarray, features: np.ndarray, config: PrepareConfig) -> Plan:
    """Cluster the rows and choose the held-out ones.

    If the source reserves rows for holding out, k-means ignores them, and those that most clearly belong to a cluster
    become its held-out rows. Otherwise the held-out rows of each cluster are drawn by the seed.

    Args:
        table: All items.
        index: int64 `[N]`: places of the usable rows, ascending.
        features: `[N, D]`: their features.
        config: K, balance, held-out rows, seed.

    Raises:
        TooFewRowsError: Fewer rows than clusters, or a cluster too small for its held-out rows.
    """
    is_pool = pc.equal(table["role"], "heldout").to_numpy()[index]
    pool, own = np.flatnonzero(is_pool), np.flatnonzero(~is_pool)
    if len(own) < config.num_clusters:
        raise TooFewRowsError(
            f"{config.num_clusters} clusters need at least as many training pictures, {len(own)} can be used.",
            "Lower num_clusters, or add pictures.",
        )
    bound = None if config.balance == "free" else config.balance
    clustering = cluster_features(
        features[own] if len(pool) else features,
        *(config.num_clusters, config.num_fine_centroids, bound, config.seed, config.catch_all),
    )
    away = np.zeros(len(index), np.float32)
    away[own] = clustering.away
    members = [own[clustering.labels == k] for k in range(config.num_clusters)]
    if len(pool):
        heldout = _from_pool(features, pool, members, config)
    else:
        heldout = [_drawn(rows, k, config) for k, rows in enumerate(members)]
    clusters = [
        _cluster_plan(k, np.setdiff1d(members[k], heldout[k]), heldout[k], index, away, config)
        for k in range(config.num_clusters)
    ]
    return Plan(clusters, clustering)


def _cluster_plan(
    k: int, training: np.ndarray, heldout: np.ndarray, index: np.ndarray, away: np.ndarray, config: PrepareConfig
) -> ClusterPlan:
    shuffled = np.random.default_rng([config.seed, 3, k]).permutation(training)
    return ClusterPlan(
        cluster=k,
        training=index[shuffled],
        heldout=index[heldout],
        typical=index[training[np.argsort(away[training], kind="stable")]],
    )


def _from_pool(
    features: np.ndarray, pool: np.ndarray, members: list[np.ndarray], config: PrepareConfig
) -> list[np.ndarray]:
    """Held-out rows from the reserved ones: the assignment with the least total margin, equally many to each cluster.

    A row's margin for a cluster is its distance to the nearest training row there minus that to the nearest one
    elsewhere: the more clearly it belongs, the more negative. Unclear rows would measure badly which cluster an expert
    was trained on.
    """
    wanted = config.heldout_per_cluster(sum(map(len, members)) // config.num_clusters)
    if len(pool) < wanted * config.num_clusters:
        raise TooFewRowsError(
            f"{wanted} held-out rows in each of {config.num_clusters} clusters need {wanted * config.num_clusters} "
            f"pictures of their own, {len(pool)} can be used.",
            "Lower heldout_rows, or name more held-out pictures.",
        )
    if config.num_clusters == 1:
        return [np.sort(pool[:wanted])]
    nearest = np.stack([distances(features[pool], features[rows]).min(axis=1) for rows in members], axis=1)
    margin = np.stack(
        [nearest[:, k] - np.delete(nearest, k, axis=1).min(axis=1) for k in range(config.num_clusters)], axis=1
    )
    rows, slots = linear_sum_assignment(np.repeat(margin.astype(np.float64), wanted, axis=1))
    return [np.sort(pool[rows[slots // wanted == k]]) for k in range(config.num_clusters)]


def _drawn(rows: np.ndarray, k: int, config: PrepareConfig) -> np.ndarray:
    """Held-out rows of one cluster, drawn by the seed from its own rows."""
    wanted = config.heldout_per_cluster(len(rows))
    if len(rows) <= wanted:
        raise TooFewRowsError(
            f"Cluster {k} has {len(rows)} pictures and {wanted} are to be held out: none is left to train on.",
            "Lower num_clusters or heldout_rows, set balance, or add pictures.",
        )
    return np.sort(np.random.default_rng([config.seed, 4, k]).permutation(rows)[:wanted])
