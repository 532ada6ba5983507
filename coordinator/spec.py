"""From the organiser's settings and the prepared data to what is published: RunSpec, tasks, manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.errors import NotReadyError
from paris.coordinator.policy import Policy
from paris.coordinator.rundir import RunDir
from paris.coordinator.state import TaskState
from paris.protocol.canonical import parse_json
from paris.protocol.manifest import Manifest
from paris.protocol.records import PartFile, RunSpec, Shard, Task

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


def make_tasks(run: RunDir) -> list[TaskState]:
    """One open task an expert."""
    tasks, table = [], run.config.tasks
    start = initial_weights(run)
    for manifest in load_manifests(run):
        task = Task(
            task_id=f"expert-{manifest.cluster}",
            cluster=manifest.cluster,
            steps=table.steps,
            batch_size=int(run.config.expert_training.get("batch_size", 32)),
            manifest_sha256=manifest.sha256,
            data_bytes=manifest.num_bytes,
            min_memory_bytes=table.min_memory_bytes,
            min_disk_bytes=table.min_disk_bytes + manifest.num_bytes + (start.bytes if start else 0),
            deadline_s=table.deadline_s,
            grace_s=table.grace_s,
            objective=run.config.objectives.of(manifest.cluster),
            state="open",
        )
        tasks.append(TaskState(task=task))
    return tasks


def make_spec(run: RunDir, initial_peers: list[str]) -> RunSpec:
    """The run's public description with the peers of this moment.

    Raises:
        RunDirError: The data is not prepared yet.
        ExpertError: The model's settings are not valid.
    """
    config, text = run.config, _text_settings(run)
    return RunSpec(
        name=config.run.name,
        num_experts=config.run.num_experts,
        num_buckets=config.run.num_buckets,
        hub_endpoint=config.hub.endpoint,
        data_repo=config.hub.data_repo,
        model_repo=config.hub.model_repo,
        initial_peers=tuple(initial_peers),
        seed=config.run.seed,
        model=model_config(run).to_settings(),
        training={**config.expert_training, "steps": config.tasks.steps},
        text=text,
        codec=config.codec,
        initial_weights=initial_weights(run),
        heartbeat_every_s=config.tasks.heartbeat_every_s,
        lease_s=config.tasks.lease_s,
        licence=config.run.licence,
        attribution=config.run.attribution,
    )


def model_config(run: RunDir) -> ModelConfig:
    """The shape of the run's experts.

    Raises:
        RunDirError: The data is not prepared yet.
        ExpertError: The model's settings are not valid.
    """
    from paris.experts.models.presets import model_config_from_settings, model_preset

    table, text = run.config.model, _text_settings(run)
    base = model_preset(table.preset).to_settings()
    of_text = {"text_embed_dim": text["dim"], "max_text_tokens": text["max_tokens"]}
    return model_config_from_settings({**base, **of_text, **table.overrides})


def _text_settings(run: RunDir) -> dict[str, Any]:
    return {**run.config.text, **prepared_record(run).get("text", {})}


def initial_weights(run: RunDir) -> PartFile | None:
    """The file that all experts start from, as `prepare` made it; None where the run has none.

    Raises:
        NotReadyError: run.toml names a checkpoint, and `prepare` has not converted it.
    """
    if run.config.model.imagenet_weights is None:
        return None
    if not run.initial_weights.is_file():
        raise NotReadyError("The initial weights are not converted yet.", f"Run: paris-coord prepare {run.path}")
    return PartFile.model_validate_json(run.initial_weights.read_bytes())


def make_policy(run: RunDir) -> Policy:
    """The numbers that `tick` decides by."""
    table = run.config.tasks
    return Policy(
        lease_s=table.lease_s,
        heartbeat_every_s=table.heartbeat_every_s,
        want_life_s=max(10.0, 4 * table.heartbeat_every_s),
        train_router_after=run.config.router.train_after,
    )
