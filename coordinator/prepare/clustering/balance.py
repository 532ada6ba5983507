"""Balanced clusters: the assignment with the least total distance under bounds on the cluster sizes.

N rows, K clusters. Each size is in `[(2 - balance), balance]` times N / K, rounded so that both bounds can be met.
Few rows are assigned exactly, as a transport problem. For many rows its dual is solved: each cluster has a price, which
rises while the cluster is too large and falls while it is too small; the remaining rows are then moved one cluster at a
time.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment

_EXACT_ROWS = 512
_PRICE_ROWS = 262144
_PRICE_ROUNDS = 300


def balanced_labels(distances: np.ndarray, balance: float) -> np.ndarray:
    """Assign rows to clusters of nearly equal size; deterministic.

    Args:
        distances: `[N, K]`, of each row to each cluster.
        balance: Bound on the largest size over the mean, at least 1; the smallest size is at least 2 - balance.

    Returns:
        int64 `[N]`.
    """
    low, high = size_bounds(len(distances), distances.shape[1], balance)
    if len(distances) <= _EXACT_ROWS:
        return exact_labels(distances, low, high)
    return priced_labels(distances, low, high)


def size_bounds(num_rows: int, num_clusters: int, balance: float) -> tuple[int, int]:
    """Smallest and largest allowed size; an assignment within both always exists."""
    mean = num_rows / num_clusters
    high = max(math.ceil(mean), math.floor(mean * balance + 1e-9))
    low = min(math.floor(mean), max(0, math.ceil(mean * (2 - balance) - 1e-9)))
    return low, high


def exact_labels(distances: np.ndarray, low: int, high: int) -> np.ndarray:
    """Exact solution for sizes in `[low, high]`: a rectangular assignment of rows to slots.

    Each cluster has `high` slots. The first `low` of each are so cheap that the optimum fills them all.
    """
    num_clusters = distances.shape[1]
    slots = np.repeat(distances.astype(np.float64), high, axis=1)
    must_fill = np.tile(np.arange(high) < low, num_clusters)
    slots[:, must_fill] -= 4 * len(distances) * (float(distances.max(initial=0.0)) + 1.0)
    _, chosen = linear_sum_assignment(slots)
    return np.asarray(chosen // high, np.int64)


def priced_labels(distances: np.ndarray, low: int, high: int) -> np.ndarray:
    """Approximate solution for sizes in `[low, high]`, in time linear in the rows."""
    every = max(1, len(distances) // _PRICE_ROWS)
    sample = distances[::every].astype(np.float64)
    share = len(sample) / len(distances)
    prices = np.zeros(distances.shape[1])
    step = float(np.std(sample)) + 1e-12
    for round_number in range(_PRICE_ROUNDS):
        sizes = np.bincount(np.argmin(sample + prices, axis=1), minlength=len(prices)) / share
        # Complementary slackness: a positive price requires the largest size, a negative one the smallest.
        bound = np.where(prices > 0, high, np.where(prices < 0, low, np.clip(sizes, low, high)))
        if np.array_equal(sizes, bound):
            break
        moved = prices + step / (1 + round_number) ** 0.75 * (sizes - bound) / (len(distances) / len(prices))
        prices = np.where(prices * moved < 0, 0.0, moved)
    priced = distances + prices.astype(distances.dtype)
    return _moved(priced, np.argmin(priced, axis=1).astype(np.int64), low, high)


def _moved(priced: np.ndarray, labels: np.ndarray, low: int, high: int) -> np.ndarray:
    """Move the rows with the least loss out of clusters that are too large, and into those that are too small."""
    sizes = np.bincount(labels, minlength=priced.shape[1])
    while True:
        giver, room = int(np.argmax(sizes)), sizes < high
        taker_is_small = sizes < low
        if sizes[giver] <= high and not taker_is_small.any():
            return labels
        allowed = taker_is_small if taker_is_small.any() else room
        allowed[giver] = False
        rows = np.flatnonzero(labels == giver)
        takers = np.flatnonzero(allowed)
        loss = priced[np.ix_(rows, takers)] - priced[rows, giver][:, None]
        best = np.argmin(loss, axis=1)
        taker = takers[best[np.argmin(loss[np.arange(len(rows)), best])]]
        count = min(max(sizes[giver] - high, low - sizes[taker], 1), high - sizes[taker], sizes[giver] - low)
        towards = np.flatnonzero(takers == taker)[0]
        chosen = rows[np.argsort(loss[:, towards], kind="stable")[:count]]
        labels[chosen] = taker
        sizes[giver] -= len(chosen)
        sizes[taker] += len(chosen)
