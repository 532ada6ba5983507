"""From the agent's order to a training by paris.experts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from paris.experts.data.cluster import wait_for_shard
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.presets import ModelConfig
from paris.experts.training.config import Finished, TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import Leg
from paris.experts.training.machine import MachineSettings
from paris.node.machine.drawings import Drawings
from paris.node.machine.hardware import num_cores
from paris.node.trainer.drawing import Drawer


def device_of(wanted: str) -> str:
    """Torch's name of the device; "auto" is the first GPU that this torch can use.

    Args:
        wanted: "auto", "cpu", "cuda" or "mps".
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def task_of(order: dict[str, Any]) -> TrainingTask:
    """The order's training task; every setting is validated.

    Args:
        order: `Order` as plain JSON.

    Raises:
        ExpertError: A setting is unknown or out of range.
    """
    training = {**order["training"], **{name: order[name] for name in ("steps", "batch_size", "objective")}}
    return TrainingTask.from_settings(
        {
            "run_id": order["run_id"],
            "seed": order["seed"],
            "task_id": order["task_id"],
            "model": ModelConfig.from_settings(order["model"]),
            "training": TrainingConfig.from_settings(training),
            "text": TextConfig.from_settings(order["text"]),
            "codec": CodecConfig.from_settings(order["codec"]),
            "shard_rows": tuple(shard["rows"] for shard in order["shards"]),
            "initial_weights": order["initial_weights"],
        }
    )


def make_training(order: dict[str, Any], device: str, should_stop: Callable[[], bool]) -> ExpertTraining:
    """Build the training that the order describes.

    Args:
        order: As `task_of` takes it.
        device: From `device_of`.
        should_stop: Polled while waiting for a shard.

    Raises:
        ExpertError: A setting is unknown or out of range.
    """
    paths = [Path(shard["path"]) for shard in order["shards"]]
    return ExpertTraining(
        task_of(order),
        Path(order["work"]),
        lambda index: wait_for_shard(paths[index], should_stop),
        Path(order["text_folder"]),
        MachineSettings.from_settings(
            {**order.get("machine", {}), "device": device, "num_threads": order["threads"] or num_cores()}
        ),
        leg=Leg.from_settings(order["leg"]) if order.get("leg") else None,
    )


def make_drawer(order: dict[str, Any]) -> Drawer | None:
    """What draws on the way, where the order asks for it.

    Args:
        order: As `task_of` takes it.

    Raises:
        ExpertError: As `task_of`.
    """
    drawing = order.get("drawing")
    return Drawer(Drawings(Path(drawing["folder"])), drawing["every_steps"], task_of(order)) if drawing else None


def finished_fields(finished: Finished) -> dict[str, Any]:
    """Figures for the submission; empty if the training was stopped. A leg before the last has no finished weights."""
    if not finished.is_complete:
        return {}
    figures = {"steps": finished.step, "final_loss": finished.final_loss, "commitment": finished.commitment}
    if finished.weights_path is None:
        return figures
    return {**figures, "sha256": finished.weights_sha256, "bytes": finished.weights_path.stat().st_size}
