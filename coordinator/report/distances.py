"""Distances between samples and data, on features of a picture embedder.

None of this is "FID", which is the Frechet distance on the features of one particular Inception network: a figure means
something only beside others on the same features and the same number of rows, such as that of data against data.

Shapes: N and M rows, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PrecisionRecall(NamedTuple):
    """How much of the samples looks like data, and how much of the data is reached by samples; both in [0, 1]."""

    precision: float
    recall: float


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared maximum mean discrepancy under the kernel `(x.y / F + 1)^3` ("KID"), unbiased: zero on average
    for two sets of one distribution, and so negative about half the time.

    Args:
        first: `[N, F]`, N at least 2.
        second: `[M, F]`, M at least 2.

    Source: Binkowski et al., arXiv 1801.01401, section 3; Gretton et al., JMLR 13 (2012), equation 3.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n, m = len(first), len(second)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T / a.shape[1] + 1.0) ** 3)

    within1, within2 = kernel(first, first), kernel(second, second)
    mean1 = (within1.sum() - np.trace(within1)) / (n * (n - 1))
    mean2 = (within2.sum() - np.trace(within2)) / (m * (m - 1))
    return float(mean1 + mean2 - 2 * kernel(first, second).mean())


def precision_recall(data: np.ndarray, samples: np.ndarray, num_neighbours: int = 3) -> PrecisionRecall:
    """Share of samples inside the data's manifold, and of data inside the samples'.

    A set's manifold is the union of balls around its rows, each reaching to the row's k-th neighbour.

    Args:
        data: `[N, F]`.
        samples: `[M, F]`; few samples always have low recall, so N should be M.
        num_neighbours: k, less than N and M.

    Source: Kynkaanniemi et al., arXiv 1904.06991, equations 1 and 2.
    """
    across = _distances(samples, data)
    precision = (across <= _radii(data, num_neighbours)).any(axis=1).mean()
    recall = (across <= _radii(samples, num_neighbours)[:, None]).any(axis=0).mean()
    return PrecisionRecall(float(precision), float(recall))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `[N, M]`, float64."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.asarray(squares.clip(min=0))


def _radii(rows: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Squared distance of each row to its k-th neighbour, itself not counted `[N]`."""
    return np.partition(_distances(rows, rows), num_neighbours, axis=1)[:, num_neighbours]
