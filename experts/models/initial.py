"""Initial weights from a seed: each model's `init_weights` says which, `SeededInit` draws them.

Each parameter has a CPU generator of its own, named by the seed and the parameter's name in the model. So the weights
are the same on every machine, and a layer more or less changes none of the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paris.experts.seeding import generator_for

EMBEDDER_STD = 0.02
"""Standard deviation of the embedders' initial weights (Peebles and Xie, arXiv 2212.09748)."""


class SeededInit:
    """Draws the initial weights of one model's parameters, in place.

    Args:
        model: Its `init_weights` takes this object.
        seed: The run's seed.
    """

    def __init__(self, model: nn.Module, seed: int) -> None:
        self._seed = seed
        self._names = {parameter: name for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def xavier_uniform(self, weight: Tensor) -> None:
        """Glorot and Bengio, 2010, equation 16, with the weight as a matrix: outputs by everything else.

        `nn.init.xavier_uniform_` rounds its bound otherwise, and counts a convolution's outputs once a pixel.
        """
        matrix = weight.flatten(1)
        bound = math.sqrt(6.0 / (matrix.shape[0] + matrix.shape[1]))
        weight.uniform_(-bound, bound, generator=self._generator(weight))

    @torch.no_grad()
    def normal(self, weight: Tensor, std: float) -> None:
        """Normal of mean zero."""
        weight.normal_(0.0, std, generator=self._generator(weight))

    def linear(self, layer: nn.Module, std: float | None = None) -> None:
        """A layer with `weight` and `bias`: weights normal with `std`, or Xavier uniform without one; biases zero."""
        if std is None:
            self.xavier_uniform(layer.weight)
        else:
            self.normal(layer.weight, std)
        nn.init.zeros_(layer.bias)

    def _generator(self, parameter: Tensor) -> torch.Generator:
        return generator_for(self._seed, "initial", self._names[parameter])


def initialize(model: nn.Module, seed: int) -> None:
    """Give a model that was built on the meta device memory on the CPU, and its initial weights.

    Args:
        model: Has an `init_weights(init: SeededInit)` that fills every parameter.
        seed: The run's seed.
    """
    # Not `to_empty`, which imports sympy: half a second and 40 MB in every trainer process.
    model.load_state_dict({name: torch.empty(like.shape) for name, like in model.state_dict().items()}, assign=True)
    model.init_weights(SeededInit(model, seed))
