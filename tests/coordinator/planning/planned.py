"""Settings to plan: the small recipe of the swarm's tests, with some tables changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import Facts, facts_before
from paris.coordinator.planning.plan import Plan
from paris.coordinator.run.config import RunConfig, load_recipe

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"
LATENTS = {
    "text": {"kind": "transformers", "dim": 768, "max_tokens": 77, "path": "text_encoder"},
    "codec": {"kind": "vae"},
    "model": {"preset": "dit-xl-2", "overrides": {}},
    "router": {"preset": "router-b-2", "overrides": {}},
    "data": {"image_size": 256, "embedder": "facebook/dinov2-large", "heldout_rows": 512},
    "training": {"batch_size": 32, "precision": "bfloat16"},
    "tasks": {"steps": 100_000, "deadline_s": 100 * 86400.0},
}


def settings(**tables: dict[str, Any]) -> RunConfig:
    config = load_recipe(str(TINY)).model_dump(mode="json", exclude_none=True)
    config["tasks"]["min_rows"] = 20
    return RunConfig.model_validate({**config, **{name: {**config[name], **table} for name, table in tables.items()}})


def facts(pictures: int = 10_000, **tables: dict[str, Any]) -> Facts:
    return facts_before(settings(**tables), pictures)


def large(pictures: int = 100_000, **tables: dict[str, Any]) -> Facts:
    merged = {name: {**LATENTS.get(name, {}), **tables.get(name, {})} for name in LATENTS | tables}
    return facts(pictures, **merged)


def plan(pictures: int = 10_000, **tables: dict[str, Any]) -> Plan:
    return make_plan(facts(pictures, **tables))
