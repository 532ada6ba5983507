"""The models that `paris-coord demo --data` chooses from, for pictures of at most 64 px without a codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paris.experts.models.presets import ModelConfig, RouterConfig, model_preset, router_preset

ROUTER_PRESET = "router-tiny-4"
ROUTER_BATCH = 32
"""Rows of the router's step."""
_ROUTER_PATCHES = 8
"""Along one side: the router needs less detail than an expert."""


@dataclass(frozen=True)
class Shape:
    """A model at a picture size, with its batch."""

    preset: str
    image_size: int
    """Side of a picture, px; a multiple of 4."""
    batch_size: int
    """Rows of an expert's step."""
    learning_rate: float
    good_steps: int
    """Steps of an expert after which its pictures are clean; after fewer they are noisy."""

    @property
    def model_overrides(self) -> dict[str, Any]:
        """[model] overrides of run.toml."""
        return {} if self.image_size == model_preset(self.preset).image_size else {"image_size": self.image_size}

    @property
    def router_overrides(self) -> dict[str, Any]:
        """[router] overrides of run.toml; the picture's size follows the expert's."""
        patch = max(router_preset(ROUTER_PRESET, 1).patch_size, self.image_size // _ROUTER_PATCHES)
        return {} if patch == router_preset(ROUTER_PRESET, 1).patch_size else {"patch_size": patch}

    def model(self, text: dict[str, Any]) -> ModelConfig:
        """The expert, by the fields of [text]."""
        base = model_preset(self.preset).to_settings()
        widths = {"text_embed_dim": text.get("dim", 0), "max_text_tokens": text.get("max_tokens", 0)}
        return ModelConfig.from_settings({**base, **widths, **self.model_overrides})

    def router(self, experts: int) -> RouterConfig:
        """The router of so many experts."""
        base = router_preset(ROUTER_PRESET, experts).to_settings()
        return RouterConfig.from_settings({**base, "image_size": self.image_size, **self.router_overrides})


def shapes_for(side_px: int) -> tuple[Shape, ...]:
    """The shapes for pictures of this side, the cheapest first: each is better than those before it, given its steps.

    Args:
        side_px: The largest side that most of the pictures reach, at least 16 px.
    """
    small = min(32, side_px // 4 * 4)
    shapes = (
        Shape("dit-tiny-4", small, batch_size=8, learning_rate=4e-3, good_steps=0),
        Shape("dit-tiny-4", small, batch_size=16, learning_rate=4e-3, good_steps=3000),
        Shape("dit-tiny-4", 48, batch_size=16, learning_rate=4e-3, good_steps=4000),
        Shape("dit-mini-4", 64, batch_size=32, learning_rate=2e-3, good_steps=5000),
        Shape("dit-s-4", 64, batch_size=64, learning_rate=1e-3, good_steps=8000),
    )
    return tuple(shape for shape in shapes if shape.image_size <= max(side_px, small))
