"""From the agent's order to a training: the only place where the trainer meets paris.experts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from paris.experts.codec import CodecConfig
from paris.experts.presets import model_config_from_settings
from paris.experts.text import TextConfig
from paris.experts.training import ExpertTraining, TrainingConfig, TrainingTask
from paris.node.cache import file_sha256
from paris.node.submit import WEIGHTS


def device_of(wanted: str) -> str:
    """What torch calls the device; a GPU that this torch cannot use becomes the CPU only where it was left open.

    Args:
        wanted: "auto", "cpu", "cuda" or "mps".
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def make_training(order: dict[str, Any], device: str) -> ExpertTraining:
    """Build the training that the order describes; every setting is checked here.

    Args:
        order: `training_process.Order` as plain JSON.
        device: From `device_of`.

    Raises:
        ExpertError: A setting is unknown or out of range.
    """
    training = {**order["training"], "steps": order["steps"], "batch_size": order["batch_size"]}
    task = TrainingTask(
        run_id=order["run_id"],
        seed=order["seed"],
        task_id=order["task_id"],
        steps=order["steps"],
        model=model_config_from_settings(order["model"]),
        training=TrainingConfig.from_settings(training),
        text=TextConfig.from_settings(order["text"]),
        codec=CodecConfig.from_settings(order["codec"]),
        shard_paths=tuple(Path(shard["path"]) for shard in order["shards"]),
        shard_rows=tuple(shard["rows"] for shard in order["shards"]),
        text_folder=Path(order["text_folder"]),
    )
    threads = order["threads"] or os.cpu_count() or 1
    return ExpertTraining(task, Path(order["work"]), device, threads)


def finished_fields(finished: Any, work: Path) -> dict[str, Any]:
    """What the submission will state, or {"stopped": True} for a training that was told to stop.

    Args:
        finished: What `ExpertTraining.run` returned.
        work: Its folder.
    """
    weights = work / WEIGHTS
    return {
        "steps": finished.steps,
        "final_loss": finished.final_loss,
        "commitment": finished.commitment,
        "sha256": file_sha256(weights),
        "bytes": weights.stat().st_size,
    }
