"""From the organiser's settings and the prepared data to what is published, and to what `tick` decides by."""

from __future__ import annotations

from paris.coordinator.initial_weights import initial_weights
from paris.coordinator.policy import Policy
from paris.coordinator.run_data import load_manifests, model_config, text_settings
from paris.coordinator.rundir import RunDir
from paris.coordinator.state import TaskState
from paris.protocol.records import RunSpec, Task


def make_tasks(run: RunDir) -> list[TaskState]:
    """One open task an expert.

    Raises:
        NotReadyError: A cluster has no manifest, or what all experts start from is not made yet.
    """
    tasks, table = [], run.config.tasks
    start = initial_weights(run)
    for manifest in load_manifests(run):
        task = Task(
            task_id=f"expert-{manifest.cluster}",
            cluster=manifest.cluster,
            steps=table.steps,
            batch_size=int(run.config.expert_training["batch_size"]),
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
        NotReadyError: What all experts start from is not made yet.
        ExpertError: The model's settings are not valid.
    """
    config, text = run.config, text_settings(run)
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


def make_policy(run: RunDir) -> Policy:
    """The numbers that `tick` decides by."""
    table = run.config.tasks
    return Policy(
        lease_s=table.lease_s,
        heartbeat_every_s=table.heartbeat_every_s,
        want_life_s=max(10.0, 4 * table.heartbeat_every_s),
        train_router_after=run.config.router.train_after,
    )
