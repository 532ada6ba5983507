"""A large model with random weights, for timing: eight DiT-B/2 and a router, as large as the published ones.

Speed does not depend on the values, as long as none is zero and rows are routed to different experts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import Router, initial_router
from paris.experts.sampling.sample import initial_noise
from paris.experts.seeding import generator_for

TEXT_TOKENS = 77
"""CLIP's whole window, as in the published model: padding is not masked."""


@dataclass(frozen=True)
class RandomModel:
    """Experts and router with random weights, and random prompts for them."""

    experts: list[DiTExpert]
    router: Router
    text: tuple[Tensor, Tensor]
    """States `[B, 77, E]` of the prompts, and a mask of ones."""
    null: tuple[Tensor, Tensor]
    """The same for the null prompt, one row."""
    seed: int


def random_model(
    config: ModelConfig, router: RouterConfig, num_experts: int, num_prompts: int, seed: int = 0
) -> RandomModel:
    """Make them: the same for a seed.

    Args:
        config: Shape of an expert.
        router: Shape of the router, but for its number of clusters.
        num_experts: K.
        num_prompts: B.
        seed: Of all weights and prompts.
    """
    experts = [initial_expert(config, seed + number) for number in range(num_experts)]
    for number, expert in enumerate(experts):
        _fill_zeros(expert, generator_for(seed, "zeros", number), 0.02)
    chooser = _undecided(router.model_copy(update={"num_clusters": num_experts}), num_prompts, seed)
    states = torch.randn(num_prompts + 1, TEXT_TOKENS, config.text_embed_dim, generator=generator_for(seed, "text"))
    mask = torch.ones(num_prompts + 1, TEXT_TOKENS, dtype=torch.bool)
    return RandomModel(experts, chooser, (states[1:], mask[1:]), (states[:1], mask[:1]), seed)


def _undecided(config: RouterConfig, num_rows: int, seed: int) -> Router:
    """A router whose answer depends on the row as a trained one's does, and not on the time alone."""
    router = initial_router(config, seed)
    _fill_zeros(router, generator_for(seed, "zeros", "router"), 0.002)
    x = initial_noise(range(num_rows), (config.in_channels, config.image_size, config.image_size))
    times, last = torch.full((num_rows,), 0.5), router.head[4]
    with torch.no_grad():
        for layer in router.layers:
            layer.adaLN_modulation[1].bias.normal_(0.0, 0.3, generator=generator_for(seed, "gates"))
        last.weight.mul_(2.0 / router(x, times).std(dim=0).mean())
        last.bias.sub_(router(x, times).mean(dim=0))
    return router.eval().requires_grad_(False)


def _fill_zeros(model: torch.nn.Module, generator: torch.Generator, deviation: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0.0, deviation, generator=generator)
    model.eval().requires_grad_(False)
