"""Initial weights: a function of the seed and of each parameter's name, computed on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from paris.experts.models.layers import grid_positions
from paris.experts.seeding import generator_for

SMALL = 0.02
"""Standard deviation of the embedders' first weights (Peebles and Xie, arXiv 2212.09748)."""


def fill(build: Callable[[], nn.Module], seed: int, zeros: tuple[str, ...], small: tuple[str, ...]) -> nn.Module:
    """Build a model and fill it: the same weights on every machine, whatever its device or number of threads.

    Each parameter has a generator of its own, so that a layer more or less leaves the others as they are.

    Args:
        build: Makes the model; called without memory for its parameters.
        seed: The run's seed.
        zeros: Endings of names of weights that start at zero.
        small: Endings of names of weights that start as small normals.
    """
    with torch.device("meta"):
        model = build()
    # Not `to_empty`, which imports sympy: half a second and 40 MB in every trainer process.
    model.load_state_dict({name: torch.empty(like.shape) for name, like in model.state_dict().items()}, assign=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill_one(name, parameter, generator_for(seed, "initial", name), zeros, small)
    return model


def _fill_one(name: str, weight: Tensor, generator: torch.Generator, zeros: tuple, small: tuple) -> None:
    if name == "pos_embed":
        weight.copy_(grid_positions(weight.shape[2], math.isqrt(weight.shape[1])))
    elif name.endswith("scale_shift_table"):
        weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
    elif name.endswith("head.2.weight"):
        weight.fill_(1.0)
    elif name.endswith("bias") or name.endswith(zeros):
        weight.zero_()
    elif name.endswith(small):
        weight.normal_(0.0, SMALL, generator=generator)
    else:
        flat = weight.flatten(1)
        bound = math.sqrt(6.0 / (flat.shape[0] + flat.shape[1]))
        weight.uniform_(-bound, bound, generator=generator)
