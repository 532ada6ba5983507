"""The settings that do not depend on the data: of a recipe, or of two pixel models."""

from __future__ import annotations

from typing import Any

from paris.coordinator.run.config import load_recipe
from paris.experts.models.presets import ModelConfig, model_preset

TINY: dict[str, Any] = {
    "model": {"preset": "dit-emoji-4", "overrides": {}},
    "router": {"preset": "router-emoji-4", "overrides": {}, "steps": 600, "batch_size": 32, "learning_rate": 1e-3},
    "text": {"kind": "vocabulary", "dim": 64, "max_tokens": 8},
    "learning_rate": 6e-3,
}
"""The demo's model, for few and small pictures."""
SMALL: dict[str, Any] = {
    "model": {"preset": "dit-emoji-4", "overrides": {"hidden_size": 192, "num_layers": 6, "num_heads": 6}},
    "router": {
        "preset": "router-emoji-4",
        "overrides": {"hidden_size": 128, "num_layers": 4, "num_heads": 4},
        "steps": 3000,
        "batch_size": 64,
        "learning_rate": 1e-3,
    },
    "text": {"kind": "vocabulary", "dim": 128, "max_tokens": 16},
    "learning_rate": 1.5e-3,
}
"""Four million parameters, for pictures of up to 64 px."""


def own_base(*, tiny: bool) -> dict[str, Any]:
    """Settings of a pixel model that do not depend on the data."""
    chosen = dict(TINY if tiny else SMALL)
    learning_rate = chosen.pop("learning_rate")
    return {
        "run": {"seed": 7, "num_buckets": 1},
        "hub": {"endpoint": "http://127.0.0.1:0", "embedded": True},
        "dht": {"listen": ["/ip4/127.0.0.1/tcp/0"]},
        "tasks": {"lease_s": 600.0, "heartbeat_every_s": 10.0, "tick_every_s": 1.0},
        "training": {
            "learning_rate": learning_rate,
            "final_learning_rate": 0.02,
            "warmup_steps": 100,
            "beta2": 0.99,
            "ema_decay": 0.998,
            "caption_dropout": 0.1,
            "time_sampling": "logit-normal",
            "snapshot_every": 250,
        },
        "compute": {"num_threads": 1},
        "codec": {"kind": "pixels"},
        "data": {},
        "sampling": {"num_steps": 25, "guidance_scale": 1.25, "guidance_away_from": "ensemble", "guidance_every": 2},
        **chosen,
    }


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


def expert_shape(model: dict[str, Any], text: dict[str, Any]) -> ModelConfig:
    """The expert's shape, of [model] and [text]."""
    base = model_preset(model["preset"]).to_settings()
    widths = {"text_embed_dim": text.get("dim"), "max_text_tokens": text.get("max_tokens")}
    known = {name: value for name, value in widths.items() if value is not None}
    return ModelConfig.from_settings({**base, **known, **model.get("overrides", {})})
