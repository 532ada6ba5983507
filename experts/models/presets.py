"""Shapes of experts and routers, and the named ones.

`dit-xl-2` and `router-b-2` are the published Paris shapes. `dit-b-2` here has text cross-attention like its larger
sibling (118.6M parameters); the papers' 129M is a B/2 without it. `dit-tiny`, `dit-mini` and `dit-s-4` are for pixels.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from paris.experts.errors import SettingsError
from paris.experts.settings import Settings

Count = Annotated[int, Field(ge=1, le=65536)]


class _Transformer(Settings):
    """Fields of experts and routers alike."""

    image_size: Count
    """Height and width of the model's input: pixels or latents, px."""
    in_channels: Count
    """Channels of the input and of the output."""
    patch_size: Count
    """Side of one patch, px; a patch is one token."""
    hidden_size: Count
    """Width of a token."""
    num_layers: Count
    num_heads: Count
    mlp_ratio: Annotated[float, Field(gt=0, le=16)] = 4.0
    """Width of the MLP's middle layer over `hidden_size`."""

    @property
    def patches_per_side(self) -> int:
        """Tokens along one side of a picture."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Tokens of one picture."""
        return self.patches_per_side**2

    @property
    def mlp_size(self) -> int:
        """Width of the MLP's middle layer."""
        return int(self.hidden_size * self.mlp_ratio)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of 4, which the positions need")
        return self


class ModelConfig(_Transformer):
    """The shape of a `DiTExpert`."""

    text_embed_dim: Annotated[int, Field(ge=0, le=65536)]
    """Width of one text state; 0 for an expert without text, which has no cross-attention."""
    max_text_tokens: Annotated[int, Field(ge=0, le=65536)]
    """Longest prompt, tokens; the weights do not depend on it. 0 without text."""

    @property
    def reads_text(self) -> bool:
        """Whether the expert has cross-attention to a text."""
        return self.text_embed_dim > 0

    @model_validator(mode="after")
    def _text_or_none(self) -> Self:
        if self.reads_text != (self.max_text_tokens > 0):
            raise ValueError(
                f"text_embed_dim {self.text_embed_dim} and max_text_tokens {self.max_text_tokens}: both are 0, or none"
            )
        return self


class RouterConfig(_Transformer):
    """The shape of a `Router`."""

    num_clusters: Count
    """Clusters it classifies into; one expert each."""
    text_embed_dim: Count | None = None
    """Width of one text state, for a router that reads the prompt too; None: the noisy picture alone."""


_LATENT = {"image_size": 32, "in_channels": 4, "patch_size": 2}
_CLIP_L = {"text_embed_dim": 768, "max_text_tokens": 77}
_EMOJI = {"image_size": 24, "in_channels": 3, "patch_size": 4}
_WORDS = {"text_embed_dim": 64, "max_text_tokens": 16}
_PIXELS = {"in_channels": 3, "patch_size": 4}

PRESETS: dict[str, ModelConfig] = {
    "dit-xl-2": ModelConfig(**_LATENT, **_CLIP_L, hidden_size=1152, num_layers=28, num_heads=16),
    "dit-l-2": ModelConfig(**_LATENT, **_CLIP_L, hidden_size=1024, num_layers=24, num_heads=16),
    "dit-b-2": ModelConfig(**_LATENT, **_CLIP_L, hidden_size=768, num_layers=12, num_heads=12),
    "dit-s-2": ModelConfig(**_LATENT, **_CLIP_L, hidden_size=384, num_layers=12, num_heads=6),
    "dit-emoji-4": ModelConfig(
        **_EMOJI, hidden_size=96, num_layers=4, num_heads=4, text_embed_dim=64, max_text_tokens=8
    ),
    "dit-tiny-4": ModelConfig(**_PIXELS, **_WORDS, image_size=32, hidden_size=128, num_layers=4, num_heads=4),
    "dit-mini-4": ModelConfig(**_PIXELS, **_WORDS, image_size=64, hidden_size=192, num_layers=6, num_heads=6),
    "dit-s-4": ModelConfig(**_PIXELS, **_WORDS, image_size=64, hidden_size=384, num_layers=12, num_heads=6),
}

ROUTER_PRESETS: dict[str, RouterConfig] = {
    "router-b-2": RouterConfig(**_LATENT, hidden_size=768, num_layers=12, num_heads=12, num_clusters=8),
    "router-emoji-4": RouterConfig(**_EMOJI, hidden_size=96, num_layers=3, num_heads=3, num_clusters=4),
    "router-tiny-4": RouterConfig(**_PIXELS, image_size=32, hidden_size=96, num_layers=3, num_heads=3, num_clusters=4),
}


def model_preset(name: str) -> ModelConfig:
    """The expert shape called `name`; SettingsError where no preset has this name."""
    if name not in PRESETS:
        raise SettingsError(f"Unknown model preset {name!r}.", f"Known presets: {', '.join(PRESETS)}.")
    return PRESETS[name]


def router_preset(name: str, num_clusters: int) -> RouterConfig:
    """The router shape called `name`, for `num_clusters` experts; SettingsError where no preset has this name."""
    if name not in ROUTER_PRESETS:
        raise SettingsError(f"Unknown router preset {name!r}.", f"Known presets: {', '.join(ROUTER_PRESETS)}.")
    return RouterConfig.from_settings({**ROUTER_PRESETS[name].to_settings(), "num_clusters": num_clusters})
