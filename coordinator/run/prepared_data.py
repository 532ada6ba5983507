"""What `prepare` left, and what follows from it with run.toml: manifests, the experts' shape, the text's settings."""

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
    """What `prepare` wrote last: configuration, digests, counts."""
    return dict(json.loads(run.require_prepared().read_text("utf-8")))


def load_manifests(run: RunDir, revision: str = "0" * 40) -> list[Manifest]:
    """Read the prepared manifests, one a cluster.

    Args:
        run: The run directory.
        revision: Commit of the data repo that holds the shards, 40 hex digits; zeros where it does not matter.

    Raises:
        NotReadyError: A cluster has none.
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
    """The shape of the run's experts.

    Raises:
        RunDirError: The data is not prepared yet.
        ExpertError: The model's settings are not valid.
    """
    from paris.experts.models.presets import ModelConfig, model_preset

    table, text = run.config.model, text_settings(run)
    base = model_preset(table.preset).to_settings()
    of_text = {"text_embed_dim": text["dim"], "max_text_tokens": text["max_tokens"]}
    return ModelConfig.from_settings({**base, **of_text, **table.overrides})


def text_settings(run: RunDir) -> dict[str, Any]:
    """Fields of the run's TextConfig, those that preparation filled in among them.

    Raises:
        RunDirError: The data is not prepared yet.
    """
    return {**run.config.text, **prepared_record(run).get("text", {})}
