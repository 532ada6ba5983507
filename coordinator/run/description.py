"""The RunSpec of a run, from its settings and prepared data."""

from __future__ import annotations

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import initial_weights
from paris.coordinator.run.prepared_data import model_config, text_settings
from paris.coordinator.run.shapes import smaller_fields
from paris.protocol.run_records import RunSpec


def make_spec(run: RunDir, initial_peers: list[str]) -> RunSpec:
    """Make the run's public description.

    Args:
        run: A prepared run directory.
        initial_peers: Present multiaddrs of the coordinator's DHT peer.

    Raises:
        RunDirError: The data is not prepared.
        NotReadyError: The initial weights that run.toml requests do not exist yet.
        ExpertError: The model's settings are invalid.
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
        min_node_version=config.tasks.min_node_version,
        leg_steps=config.leg_steps,
        want_work_bits=config.tasks.want_work_bits or None,
        peers_relay=config.dht.relay_for_volunteers or None,
        smaller=smaller_fields(config),
    )
