"""Bytes: on a volunteer's machine, on the Hub, on the organiser's disk."""

from __future__ import annotations

from paris.coordinator.decisions.legs import kept_steps
from paris.coordinator.planning import networks
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.needs import computed_needs
from paris.coordinator.planning.plan import OrganiserPlan, VolunteerPlan
from paris.experts.training.needs import FLOAT_BYTES, memory_bytes, num_parameters, num_router_parameters, state_bytes

CONTROL_BYTES_A_BEAT = 3_500
"""Of the DHT, both ways, in the demo (benchmarks.demo_report)."""
PREPARE_BASE_BYTES = 700 << 20
PREPARE_BYTES_A_ROW = 140
"""Anonymous memory of `prepare` (benchmarks.prepare), without the networks."""
_ITEM_BYTES = 500
"""Of a row in the table of items, on disk."""
_PAGE_BYTES = 60_000
"""Pictures and descriptions of one cluster, for the organiser alone."""
_BASE_BYTES = 300_000
"""Keys, state and logs."""
_FEATURES = 1280


def weights_bytes(facts: Facts) -> int:
    """An expert's finished weights."""
    return FLOAT_BYTES * num_parameters(facts.model)


def volunteer_plan(facts: Facts) -> VolunteerPlan:
    """What one volunteer needs, for the largest cluster."""
    table, needed = facts.config.tasks, computed_needs(facts.config, facts.text)
    shards, start = max(facts.data.shard_bytes, default=0), _initial_bytes(facts)
    disk = needed.disk_bytes if table.min_disk_bytes is None else table.min_disk_bytes
    whole = memory_bytes(facts.model, facts.batch_size, precision=facts.precision, moments=facts.moments)
    return VolunteerPlan(
        memory_bytes=needed.memory_bytes if table.min_memory_bytes is None else table.min_memory_bytes,
        whole_batch_memory_bytes=whole + (0 if facts.text is None else facts.text.bytes),
        disk_bytes=disk + shards + start,
        down_bytes=shards + _shared_bytes(facts),
        up_bytes=weights_bytes(facts),
        leg_steps=facts.config.leg_steps,
        leg_bytes=0 if facts.config.leg_steps is None else state_bytes(facts.model, facts.moments, facts.state),
        control_bytes_per_hour=int(3600 / table.heartbeat_every_s * CONTROL_BYTES_A_BEAT),
    )


def organiser_plan(facts: Facts) -> OrganiserPlan:
    """What Hub and organiser need."""
    experts, data = facts.config.run.num_experts, facts.data
    shards, shared = sum(data.shard_bytes), _shared_bytes(facts)
    data_repo = shards + data.small_bytes + shared - data.vocabulary_bytes
    router = FLOAT_BYTES * num_router_parameters(facts.router)
    frozen = 0 if facts.text is None else networks.text_files_bytes(facts.text)
    frozen += 0 if facts.vae is None else facts.vae.bytes
    model_repo = experts * (weights_bytes(facts) + _states_bytes(facts)) + router + frozen + data.small_bytes
    prepared = data_repo + frozen + sum(data.heldout_rows) * _row_bytes(facts) + experts * _PAGE_BYTES
    # In the run directory: verified candidates, registered experts, router and release, and the embedded Hub's copies.
    kept = 2 * experts * weights_bytes(facts) + router + model_repo - experts * _states_bytes(facts)
    hub = data_repo + model_repo if facts.config.hub.embedded else 0
    return OrganiserPlan(
        data_repo_bytes=data_repo,
        model_repo_bytes=model_repo,
        hub_sends_bytes=shards + experts * shared,
        disk_bytes=prepared + kept + hub + _BASE_BYTES,
        prepare_disk_bytes=prepared + data.num_pictures * (facts.stored_bytes + 4 * _FEATURES + _ITEM_BYTES),
        prepare_memory_bytes=_prepare_memory(facts),
    )


def _states_bytes(facts: Facts) -> int:
    """The states of an expert that its legs left and that are kept."""
    steps, leg = facts.config.tasks.steps, facts.config.leg_steps
    if leg is None:
        return 0
    kept: set[int] = set()
    for step in range(leg, steps, leg):
        kept = kept_steps(kept | {step}, steps)
    return len(kept) * state_bytes(facts.model, facts.moments, facts.state)


def _row_bytes(facts: Facts) -> int:
    return max(facts.data.shard_bytes, default=0) // max(1, max(facts.data.rows, default=0))


def _shared_bytes(facts: Facts) -> int:
    """Files that every volunteer fetches: the text encoder, or the vocabulary; initial weights."""
    text = facts.data.vocabulary_bytes if facts.text is None else networks.text_files_bytes(facts.text)
    return text + _initial_bytes(facts)


def _initial_bytes(facts: Facts) -> int:
    model = facts.config.model
    return 0 if model.warm_start_steps is None and model.imagenet_weights is None else weights_bytes(facts)


def _prepare_memory(facts: Facts) -> int:
    largest = max(facts.embedder.bytes, 0 if facts.vae is None else facts.vae.bytes)
    return PREPARE_BASE_BYTES + PREPARE_BYTES_A_ROW * facts.data.num_pictures + largest
