"""The shapes of a run's expert and router, by its settings alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paris.coordinator.run.config import RunConfig
from paris.experts.models.presets import ModelConfig, RouterConfig, model_preset, router_preset


def expert_shape(config: RunConfig) -> ModelConfig:
    """The expert's shape.

    Raises:
        ExpertError: The model's settings are invalid.
    """
    table = config.model
    return ModelConfig.from_settings(expert_fields(table.preset, table.overrides, config.text))


def expert_fields(preset: str, overrides: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the expert's ModelConfig, unchecked: of the preset, with the text's shape, and what differs.

    Args:
        preset: Of [model].
        overrides: Of [model].
        text: [text].

    Raises:
        SettingsError: There is no such preset.
    """
    text_shape = {"text_embed_dim": text.get("dim", 0), "max_text_tokens": text.get("max_tokens", 0)}
    return {**model_preset(preset).to_settings(), **text_shape, **overrides}


def router_shape(config: RunConfig, *, reads_prompt: bool) -> RouterConfig:
    """The router's shape: of its preset, but with the expert's input.

    Args:
        config: The run's settings.
        reads_prompt: Whether it reads the prompt too.

    Raises:
        ExpertError: The settings are invalid.
    """
    table, model = config.router, expert_shape(config)
    base = router_preset(table.preset, config.run.num_experts)
    seen = {"image_size": model.image_size, "in_channels": model.in_channels}
    text_width = {"text_embed_dim": model.text_embed_dim} if reads_prompt and model.reads_text else {}
    return RouterConfig.from_settings({**base.to_settings(), **seen, **table.overrides, **text_width})
