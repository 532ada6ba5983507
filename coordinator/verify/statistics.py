"""The paired bootstrap: confidence of a difference between models, given the drawn rows.

All models are scored on the same rows with the same noise. A resampling draws rows with replacement, the same for
every model, so that a row's difficulty cancels out of differences.

Shapes: N rows of a cluster, S resamplings.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paris.experts.seeding import generator_for


class Resampled:
    """Mean losses under resampling of the rows.

    Args:
        num_rows: Rows of each cluster.
        seed: Decides the resamplings.
        samples: S.
    """

    def __init__(self, num_rows: Mapping[int, int], seed: int, samples: int) -> None:
        self._drawn = {
            cluster: torch.randint(rows, (samples, rows), generator=generator_for(seed, "bootstrap", cluster))
            for cluster, rows in num_rows.items()
        }

    def log_means(self, losses: Tensor, cluster: int) -> Tensor:
        """Logarithm of the mean loss: of all rows first, then of each resampling.

        Args:
            losses: Losses of one model on the cluster's rows `[N]`.
            cluster: The cluster.

        Returns:
            `[1 + S]`, float64.
        """
        exact = losses.double()
        return torch.cat([exact.mean()[None], exact[self._drawn[cluster]].mean(1)]).log()


def gain_over(start: Mapping[int, Tensor], losses: Mapping[int, Tensor], resampled: Resampled, cluster: int) -> Tensor:
    """Relative fall of a model's loss on a cluster against the initial weights: `1 - loss / initial loss`, `[1 + S]`.

    Args:
        start: Losses of the initial weights on rows of each cluster.
        losses: Losses of the model, in the same terms.
        resampled: The resamplings.
        cluster: The cluster to compare on.
    """
    return 1.0 - (resampled.log_means(losses[cluster], cluster) - resampled.log_means(start[cluster], cluster)).exp()


def lower_bound(values: Tensor, confidence: float) -> float:
    """Lower bound of a quantity at this one-sided confidence.

    Args:
        values: The quantity, computed from `log_means`, `[1 + S]`.
        confidence: In [0, 1].

    Source: the percentile bootstrap (Efron and Tibshirani, 1993, chapter 13).
    """
    return float(torch.quantile(values[1:], 1.0 - confidence))


def upper_bound(values: Tensor, confidence: float) -> float:
    """Upper bound of a quantity `[1 + S]` at this one-sided confidence."""
    return float(torch.quantile(values[1:], confidence))
