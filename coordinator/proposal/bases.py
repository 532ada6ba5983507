"""The settings that do not depend on the data, of recipes."""

from __future__ import annotations

from typing import Any

from paris.coordinator.run.config import load_recipe


def own_base(*, tiny: bool) -> dict[str, Any]:
    """Settings of a pixel model: those of small-64, for few and small pictures with the demo's model.

    Args:
        tiny: Take the demo's model.
    """
    values = recipe_base("small-64")
    if tiny:
        demo = recipe_base("emoji")
        values |= {name: demo[name] for name in ("model", "router", "text", "training")}
    values["data"] = {name: values["data"][name] for name in ("embedder", "view_px")}
    return values


def recipe_base(name: str) -> dict[str, Any]:
    """The settings of a recipe, without its data's own.

    Raises:
        ConfigError: It is unknown or invalid.
    """
    values = load_recipe(name).model_dump(mode="json", exclude_none=True)
    values["data"].pop("source", None)
    return values


def forget_text(values: dict[str, Any]) -> None:
    """Remove what concerns captions and prompts: the experts read no text."""
    values["training"].pop("caption_dropout", None)
    values["router"].pop("sees_prompt", None)
    values["data"].pop("captioner", None)
    values["sampling"]["guidance_scale"] = 1.0
    for name in ("text_embed_dim", "max_text_tokens"):
        values["model"]["overrides"].pop(name, None)
