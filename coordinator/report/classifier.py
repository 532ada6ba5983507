"""A linear classifier on frozen features: does a sample look like the class that its prompt names?

Its share of right answers on held-out pictures is the yardstick: samples as good as data would reach it.

Shapes: N pictures, F features, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_PENALTY = 1e-3
_STEPS = 200


class LinearClassifier:
    """Multinomial logistic regression on features that are standardised on its training part.

    Args:
        features: Of the training part, float `[N, F]`.
        labels: int64 `[N]`, in [0, C).
        num_classes: C.
    """

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int) -> None:
        self._mean = features.double().mean(0)
        self._deviation = features.double().std(0).clamp(min=1e-6)
        x = self._standardised(features)
        self._weight = torch.zeros(num_classes, x.shape[1], dtype=torch.float64, requires_grad=True)
        self._bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([self._weight, self._bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            fit = F.cross_entropy(F.linear(x, self._weight, self._bias), labels)
            total = fit + _PENALTY * self._weight.square().sum()
            total.backward()
            return total

        optimizer.step(loss)

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """The most probable class of each picture, int64 `[N]`; features as those of the training part."""
        return F.linear(self._standardised(features), self._weight, self._bias).argmax(1)

    def _standardised(self, features: Tensor) -> Tensor:
        return (features.double() - self._mean) / self._deviation
