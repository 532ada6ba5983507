"""Memory and disk that a task asks for: of [tasks], or computed. The one place that decides them."""

from __future__ import annotations

import math
from typing import NamedTuple

from paris.coordinator.planning import networks
from paris.coordinator.run.config import RunConfig
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.shapes import expert_shape, smaller_shapes
from paris.experts.models.presets import ModelConfig
from paris.experts.training.needs import least_disk_bytes, least_memory_bytes


class Needs(NamedTuple):
    """What a volunteer's machine needs at least."""

    memory_bytes: int
    """Of the device: one row at a time with checkpointing, and the text encoder."""
    disk_bytes: int
    """Beside shards and initial weights: snapshots, finished weights, the text encoder's files."""


def computed_needs(config: RunConfig, text: networks.Network | None, model: ModelConfig | None = None) -> Needs:
    """What training needs at least; the settings of [tasks] are not read.

    Args:
        config: The run's settings.
        text: Its text encoder, if one computes.
        model: Of one of the smaller sizes; None: the run's model.

    Raises:
        ExpertError: The model's settings are invalid.
    """
    model, training = model or expert_shape(config), config.expert_training
    moments, precision = str(training.get("moments", "float32")), str(training.get("precision", "float32"))
    state = str(training.get("state", "exact"))
    leg_snapshots = None if config.leg_steps is None else math.ceil(config.leg_steps / config.snapshot_every)
    memory_bytes = least_memory_bytes(model, moments, precision)
    disk_bytes = least_disk_bytes(model, moments, leg_snapshots, state)
    if text is None:
        return Needs(memory_bytes, disk_bytes)
    return Needs(memory_bytes + text.bytes, disk_bytes + networks.text_files_bytes(text))


def task_needs(run: RunDir) -> Needs:
    """What a task of the run names: of [tasks], else computed.

    Raises:
        ExpertError: The model's settings are invalid.
    """
    table, needed = run.config.tasks, computed_needs(run.config, networks.text_encoder(run.config.text, run.data))
    return Needs(
        needed.memory_bytes if table.min_memory_bytes is None else table.min_memory_bytes,
        needed.disk_bytes if table.min_disk_bytes is None else table.min_disk_bytes,
    )


def smaller_needs(run: RunDir) -> list[Needs]:
    """What a task needs in each of the run's smaller sizes, computed: [tasks] is about the run's model.

    Raises:
        ExpertError: A size's settings are invalid.
    """
    text = networks.text_encoder(run.config.text, run.data)
    return [computed_needs(run.config, text, model) for model in smaller_shapes(run.config)]
