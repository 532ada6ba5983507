"""The settings that do not depend on the data: of a recipe, or of a small pixel model."""

from __future__ import annotations

from typing import Any

from paris.coordinator.run.config import load_recipe
from paris.experts.models.presets import ModelConfig, model_preset

_PRESET, _ROUTER = "dit-emoji-4", "router-emoji-4"
_TEXT_DIM = 64


def forget_text(values: dict[str, Any]) -> None:
    """Remove what concerns captions and prompts: the experts read no text."""
    values["training"].pop("caption_dropout", None)
    values["router"].pop("sees_prompt", None)
    values["data"].pop("captioner", None)
    values["sampling"]["guidance_scale"] = 1.0
    for name in ("text_embed_dim", "max_text_tokens"):
        values["model"]["overrides"].pop(name, None)


def expert_shape(model: dict[str, Any], text: dict[str, Any]) -> ModelConfig:
    """The expert's shape."""
    base = model_preset(model["preset"]).to_settings()
    widths = {"text_embed_dim": text.get("dim", 0), "max_text_tokens": text.get("max_tokens", 0)}
    return ModelConfig.from_settings({**base, **widths, **model.get("overrides", {})})


def recipe_base(name: str) -> dict[str, Any]:
    """The settings of a recipe, without its data's own."""
    values = load_recipe(name).model_dump(mode="json", exclude_none=True)
    values["data"].pop("source", None)
    return values


def own_base() -> dict[str, Any]:
    """Settings of a pixel model that do not depend on the data."""
    return {
        "run": {"seed": 7, "num_buckets": 1},
        "hub": {"endpoint": "http://127.0.0.1:0", "embedded": True},
        "dht": {"listen": ["/ip4/127.0.0.1/tcp/0"]},
        "tasks": {"lease_s": 600.0, "heartbeat_every_s": 10.0, "tick_every_s": 1.0},
        "model": {"preset": _PRESET, "overrides": {}},
        "training": {
            "final_learning_rate": 0.02,
            "warmup_steps": 100,
            "beta2": 0.99,
            "ema_decay": 0.998,
            "caption_dropout": 0.1,
            "time_sampling": "logit-normal",
            "snapshot_every": 250,
        },
        "router": {"preset": _ROUTER, "steps": 600, "batch_size": 32, "learning_rate": 1e-3},
        "compute": {"num_threads": 1},
        "text": {"kind": "vocabulary", "dim": _TEXT_DIM, "max_tokens": 8},
        "codec": {"kind": "pixels"},
        "data": {},
        "sampling": {"num_steps": 25, "guidance_scale": 1.25, "guidance_away_from": "ensemble", "guidance_every": 2},
    }
