"""The shapes of a run's experts and router, by its settings alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paris.coordinator.run.config import RunConfig
from paris.experts.errors import SettingsError
from paris.experts.models.presets import ModelConfig, RouterConfig, model_preset, router_preset
from paris.experts.training.needs import num_parameters

_SEEN = ("image_size", "in_channels", "text_embed_dim", "max_text_tokens")
"""What experts of all sizes share."""


def expert_shape(config: RunConfig) -> ModelConfig:
    """The expert's shape.

    Raises:
        ExpertError: The model's settings are invalid.
    """
    table = config.model
    return ModelConfig.from_settings(expert_fields(table.preset, table.overrides, config.text))


def smaller_shapes(config: RunConfig) -> list[ModelConfig]:
    """The shapes of the smaller sizes, the largest first.

    Raises:
        SettingsError: A size is invalid, or not smaller than the one before it.
    """
    largest = expert_shape(config)
    found: list[ModelConfig] = []
    for number, table in enumerate(config.model.smaller, start=1):
        base = largest if table.preset is None else model_preset(table.preset)
        seen = {name: getattr(largest, name) for name in _SEEN}
        shape = ModelConfig.from_settings({**base.to_settings(), **seen, **table.overrides})
        changed = next((name for name in _SEEN if getattr(shape, name) != seen[name]), None)
        if changed:
            raise SettingsError(
                f"Size {number} of [[model.smaller]] changes {changed}, which all experts share.",
                f"Remove {changed} from its overrides.",
            )
        own, before = num_parameters(shape), num_parameters(found[-1] if found else largest)
        if own >= before:
            raise SettingsError(
                f"Size {number} of [[model.smaller]] has {own} parameters, the size before it {before}.",
                "List smaller sizes, the largest first.",
            )
        found.append(shape)
    return found


def smaller_fields(config: RunConfig) -> tuple[dict[str, Any], ...] | None:
    """Of each smaller size the fields that differ from the run's model, for the RunSpec; None where there is no size.

    Raises:
        SettingsError: As `smaller_shapes`.
    """
    largest = expert_shape(config).to_settings()
    sizes = [shape.to_settings() for shape in smaller_shapes(config)]
    return tuple({k: v for k, v in size.items() if v != largest[k]} for size in sizes) or None


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
