"""Many clusters: rows are split into groups first, and each group into its share of the clusters.

N rows, K clusters, G = sqrt(K) groups. Distances of all rows to all centroids would take N x K numbers, 45 GB for 11
million rows and 1,024 clusters; here they are at most N x G, and N / G x K / G a group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Fitted(NamedTuple):
    """Clusters of rows."""

    labels: np.ndarray
    """int64 `[N]`: cluster of each row."""
    centroids: np.ndarray
    """float32 `[K, D]`: mean features of each cluster."""
    before: np.ndarray
    """float32 `[K, D]`: the centroids before balancing or splitting."""
    catch_alls: list[float]
    """Share of all rows in each catch-all cluster that was split."""


Fit = Callable[[np.ndarray, int, float | None, int], Fitted]
"""Splits rows into clusters, from features, number, bound on the largest size over the mean, and seed."""


def nested(features: np.ndarray, num_clusters: int, balance: float | None, seed: int, fit: Fit) -> Fitted:
    """Split rows into many clusters.

    Args:
        features: `[N, D]`, `N >= K`.
        num_clusters: K.
        balance: Bound on the largest size over the mean of all clusters; None for no bound.
        seed: Seed of the groups; the g-th group has `seed + 1 + g`.
        fit: Splits the rows, and those of each group.
    """
    groups = fit(features, math.isqrt(num_clusters), balance, seed)
    members = [np.flatnonzero(groups.labels == group) for group in range(len(groups.centroids))]
    shares = shares_of([len(rows) for rows in members], num_clusters)
    labels = np.empty(len(features), np.int64)
    parts: list[Fitted] = []
    for group, (rows, share) in enumerate(zip(members, shares, strict=True)):
        if not share:
            continue
        bound = None if balance is None else _bound(balance, len(rows) / share * num_clusters / len(features))
        part = fit(features[rows], share, bound, seed + 1 + group)
        labels[rows] = part.labels + sum(len(other.centroids) for other in parts)
        rescaled = [of_group * len(rows) / len(features) for of_group in part.catch_alls]
        parts.append(part._replace(catch_alls=rescaled))
    return Fitted(
        labels,
        np.concatenate([part.centroids for part in parts]),
        np.concatenate([part.before for part in parts]),
        [*groups.catch_alls, *(one for part in parts for one in part.catch_alls)],
    )


def shares_of(sizes: list[int], num_clusters: int) -> list[int]:
    """How many of K clusters each group gets: by its rows, at least one, and at most one a row; none without rows.

    Each further cluster goes to the group whose clusters have most rows.

    Args:
        sizes: Rows of each group, at least K together.
        num_clusters: K, at least the number of groups that have rows.
    """
    total = sum(sizes)
    shares = [min(size, max(1, size * num_clusters // total)) for size in sizes]
    while sum(shares) > num_clusters:
        shares[min((i for i in range(len(sizes)) if shares[i] > 1), key=lambda i: sizes[i] / shares[i])] -= 1
    while sum(shares) < num_clusters:
        shares[max((i for i in range(len(sizes)) if shares[i] < sizes[i]), key=lambda i: sizes[i] / shares[i])] += 1
    return shares


def _bound(balance: float, mean: float) -> float:
    """The bound in a group so that its clusters are within that of all, upwards and downwards.

    Args:
        balance: Bound of all clusters: sizes are 2 - balance to balance times the mean of all.
        mean: Mean size in the group, over that of all.
    """
    return max(1.0, min(balance / mean, 2 - (2 - balance) / mean))
