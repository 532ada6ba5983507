"""Initial weights from a seed: each module's `init_weights` fills its parameters by a `SeededInit`.

Each parameter has its own CPU generator, seeded by the run's seed and the parameter's name in the model: one more layer
changes none of the others. On processors with other vector instructions they differ in the last bits, see
`seeding.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paris.experts.seeding import generator_for

EMBEDDER_STD = 0.02
"""Standard deviation of the embedders' initial weights (Peebles and Xie, arXiv 2212.09748)."""


class SeededInit:
    """Fills the parameters of `model` from the run's seed."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        self._seed = seed
        self._names = {parameter: name for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def xavier_uniform(self, weight: Tensor) -> None:
        """Glorot and Bengio, 2010, equation 16, with a convolution as the matrix `[D, C * P * P]` (as in DiT).

        Not `nn.init.xavier_uniform_`, whose bound differs in its last bit: a seed's weights must never change.
        """
        matrix = weight.flatten(1)
        bound = math.sqrt(6.0 / (matrix.shape[0] + matrix.shape[1]))
        weight.uniform_(-bound, bound, generator=self._generator(weight))

    @torch.no_grad()
    def normal(self, weight: Tensor, std: float) -> None:
        """Normal with mean zero."""
        weight.normal_(0.0, std, generator=self._generator(weight))

    def linear(self, layer: nn.Module, std: float | None = None) -> None:
        """A layer's weights: normal with `std`, or Xavier uniform without one; its biases: zero."""
        if std is None:
            self.xavier_uniform(layer.weight)
        else:
            self.normal(layer.weight, std)
        nn.init.zeros_(layer.bias)

    def _generator(self, parameter: Tensor) -> torch.Generator:
        return generator_for(self._seed, "initial", self._names[parameter])


def initialize(model: nn.Module, seed: int) -> None:
    """Allocate a model of the meta device on the CPU, and fill it by its `init_weights`."""
    # Not `to_empty`, which imports sympy: half a second and 40 MB in every trainer process.
    model.load_state_dict(
        {name: torch.empty(like.shape, dtype=torch.float32) for name, like in model.state_dict().items()}, assign=True
    )
    model.init_weights(SeededInit(model, seed))
