"""How far samples are from data, as distances between two sets of feature vectors; more in `paris.coordinator.report`.

None of this is "FID", which is the Frechet distance on the features of one particular Inception network: a distance
means something only beside others on the same features and the same number of rows, and beside `floor`, the distance
of data from data.

Shapes: N and M rows, F features, always standardised by the classifier that made them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared Frechet (2-Wasserstein) distance of two sets' Gaussians.

    Args:
        first: `[N, F]`, N at least 2.
        second: `[M, F]`.

    Source: Dowson and Landau, J. Multivariate Anal. 12 (1982), equation 4; on a network's features: Heusel et al.,
    arXiv 1706.08500, equation 6.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return frechet_of_gaussians(first.mean(0), np.cov(first.T), second.mean(0), np.cov(second.T))


def frechet_of_gaussians(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)`, by eigenvalues of symmetric matrices alone.

    A general matrix square root turns complex or fails where a covariance is nearly singular; these eigenvalues are
    real, and those below zero are rounding.

    Args:
        mean1: `[F]`.
        cov1: `[F, F]`.
        mean2: `[F]`.
        cov2: `[F, F]`.

    Source: as `frechet_distance`.
    """
    cov1, cov2 = np.atleast_2d(cov1), np.atleast_2d(cov2)
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov2 @ root).clip(min=0)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, num_directions: int = 256, seed: int = 0) -> float:
    """Root of the mean, over random directions, of the squared 2-Wasserstein distance along them.

    Args:
        first: `[N, F]`.
        second: `[M, F]`; where M is not N, both are read at the same max(N, M) quantiles.
        num_directions: Directions, uniform on the sphere.
        seed: Of the directions.

    Source: Bonneel et al., J. Math. Imaging Vis. 51 (2015), definition 1.
    """
    directions = np.random.default_rng([seed, 7]).standard_normal((np.shape(first)[1], num_directions))
    directions /= np.linalg.norm(directions, axis=0)
    quantiles = (np.arange(max(len(first), len(second))) + 0.5) / max(len(first), len(second))
    along1, along2 = (_at_quantiles(np.asarray(rows, np.float64) @ directions, quantiles) for rows in (first, second))
    return float(np.sqrt(((along1 - along2) ** 2).mean()))


def floor(
    data: np.ndarray,
    reference: np.ndarray,
    num_rows: int,
    metric: Metric = frechet_distance,
    repeats: int = 4,
    seed: int = 0,
) -> float:
    """A metric of data against data, at the samples' N: the mean over draws of `num_rows` from `data`.

    Samples that were as good as data would come out here, not at zero: few rows never fill a covariance.

    Args:
        data: Rows that are not in `reference` `[N, F]`.
        reference: What samples are compared with `[M, F]`.
        num_rows: As many as there are samples, at most N.
        metric: Of two sets.
        repeats: Draws.
        seed: Of the draws.
    """
    generators = [np.random.default_rng([seed, repeat, 11]) for repeat in range(repeats)]
    return float(np.mean([metric(data[one.permutation(len(data))[:num_rows]], reference) for one in generators]))


def _at_quantiles(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Each column's values at the middles of equal shares, as steps: `[Q, D]`."""
    ordered = np.sort(values, axis=0)
    return ordered[np.minimum((quantiles * len(values)).astype(int), len(values) - 1)]
