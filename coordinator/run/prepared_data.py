"""Reads the output of `prepare`: its record, the manifests, and the model and text settings that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.shapes import expert_shape
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import Shard

if TYPE_CHECKING:
    from paris.experts.models.presets import ModelConfig


def prepared_record(run: RunDir) -> dict[str, Any]:
    """Content of `prepared.json`: configuration, digests, counts.

    Raises:
        RunDirError: The data is not prepared, or the file is damaged.
    """
    return read_object(run.require_prepared(), _prepare_again(run))


def load_manifests(run: RunDir, revision: str = "0" * 40) -> list[Manifest]:
    """Read the manifest of each cluster, in order.

    Args:
        run: The run directory.
        revision: Commit of the data repo with the shards, 40 hex digits; zeros if unused.

    Raises:
        NotReadyError: A cluster has no manifest.
        RunDirError: A manifest is damaged.
    """
    manifests = []
    for cluster in range(run.config.run.num_experts):
        path = run.data / "manifests" / f"cluster-{cluster:03d}.json"
        if not path.is_file():
            raise NotReadyError(f"Cluster {cluster} has no manifest at {path}.", f"Run: paris-coord prepare {run.path}")
        raw = read_object(path, _prepare_again(run))
        try:
            shards = tuple(Shard.model_validate(shard) for shard in raw["shards"])
        except (KeyError, TypeError, ValidationError) as error:
            raise RunDirError(f"{path} is damaged: it lists no shards.", _prepare_again(run)) from error
        manifests.append(Manifest(cluster, run.config.hub.data_repo, revision, shards))
    return manifests


def _prepare_again(run: RunDir) -> str:
    return f"Restore it from a copy; or remove {run.data} and run: paris-coord prepare {run.path}"


def model_config(run: RunDir) -> ModelConfig:
    """Architecture of the run's experts.

    Raises:
        RunDirError: The data is not prepared.
        ExpertError: The model's settings are invalid.
    """
    run.require_prepared()
    return expert_shape(run.config)


def text_settings(run: RunDir) -> dict[str, Any]:
    """Fields of the run's TextConfig: those of [text] and those that `prepare` added.

    Raises:
        RunDirError: The data is not prepared.
    """
    return {**run.config.text, **prepared_record(run).get("text", {})}


def example_prompt(run: RunDir) -> str:
    """The first of the run's prompts, or else of its captions; empty if its experts read no text."""
    if not run.config.reads_text:
        return ""
    attribution = run.data / "attribution.parquet"
    if run.config.sampling.prompts or not attribution.is_file():
        return next(iter(run.config.sampling.prompts), "a picture")
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(attribution).iter_batches(1, columns=["caption"])
    return next((str(caption) for batch in batches for caption in batch["caption"].to_pylist()), "a picture")
