"""Reads the output of `prepare`: its record, the manifests, and the model and text settings that depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.protocol.canonical import parse_json
from paris.protocol.manifest import Manifest
from paris.protocol.records import Shard

if TYPE_CHECKING:
    from paris.experts.models.presets import ModelConfig

_MAX_MANIFEST_BYTES = 64 * 2**20


def prepared_record(run: RunDir) -> dict[str, Any]:
    """Content of `prepared.json`: configuration, digests, counts."""
    return dict(json.loads(run.require_prepared().read_text("utf-8")))


def load_manifests(run: RunDir, revision: str = "0" * 40) -> list[Manifest]:
    """Read the manifest of each cluster, in order.

    Args:
        run: The run directory.
        revision: Commit of the data repo with the shards, 40 hex digits; zeros if unused.

    Raises:
        NotReadyError: A cluster has no manifest.
    """
    manifests = []
    for cluster in range(run.config.run.num_experts):
        path = run.data / "manifests" / f"cluster-{cluster:03d}.json"
        if not path.is_file():
            raise NotReadyError(f"Cluster {cluster} has no manifest at {path}.", f"Run: paris-coord prepare {run.path}")
        manifests.append(_read_manifest(path, cluster, run.config.hub.data_repo, revision))
    return manifests


def _read_manifest(path: Path, cluster: int, repo: str, revision: str) -> Manifest:
    raw = parse_json(path.read_bytes(), max_bytes=_MAX_MANIFEST_BYTES)
    shards = tuple(Shard.model_validate(shard) for shard in raw["shards"])
    return Manifest(cluster, repo, revision, shards)


def model_config(run: RunDir) -> ModelConfig:
    """Architecture of the run's experts.

    Raises:
        RunDirError: The data is not prepared.
        ExpertError: The model's settings are invalid.
    """
    from paris.experts.models.presets import ModelConfig, model_preset

    table, text = run.config.model, text_settings(run)
    base = model_preset(table.preset).to_settings()
    text_shape = {"text_embed_dim": text["dim"], "max_text_tokens": text["max_tokens"]}
    return ModelConfig.from_settings({**base, **text_shape, **table.overrides})


def text_settings(run: RunDir) -> dict[str, Any]:
    """Fields of the run's TextConfig: those of [text] and those that `prepare` added.

    Raises:
        RunDirError: The data is not prepared.
    """
    return {**run.config.text, **prepared_record(run).get("text", {})}
