"""Small models that several tests of this folder share."""

from __future__ import annotations

from plain_paris import scramble

from paris.experts.models.model import initial_expert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import initial_router

TINY = ModelConfig(
    image_size=8,
    in_channels=3,
    patch_size=4,
    hidden_size=24,
    num_layers=2,
    num_heads=3,
    mlp_ratio=2.0,
    text_embed_dim=10,
    max_text_tokens=5,
)
TINY_ROUTER = RouterConfig(
    image_size=8, in_channels=3, patch_size=4, hidden_size=16, num_layers=2, num_heads=2, mlp_ratio=2.0, num_clusters=3
)


def tiny_expert(seed=0, config=TINY):
    return scramble(initial_expert(config, seed), seed).eval()


def tiny_router(seed=0, config=TINY_ROUTER):
    return scramble(initial_router(config, seed), seed).eval()
