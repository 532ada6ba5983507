"""The file that all experts of a run start from, where it is not the run's seed: converted, or by `warm_start.py`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.errors import NotReadyError
from paris.coordinator.prepared import load_manifests, model_config, text_settings
from paris.coordinator.rundir import RunDir, write_whole
from paris.protocol.records import PartFile

if TYPE_CHECKING:
    from paris.experts.models.model import DiTExpert
    from paris.experts.training.config import TrainingTask


def initial_weights(run: RunDir) -> PartFile | None:
    """The file that all experts start from; None where the run starts from its seed.

    Raises:
        NotReadyError: run.toml asks for such weights, and they are not made yet, or were made of something else.
    """
    model = run.config.model
    if model.warm_start_steps is not None:
        if (weights := warm_start_weights(run, warm_start_task(run))) is None:
            raise NotReadyError(
                "The model that all experts start from is not trained yet, or with other data or settings.",
                f"Run: paris-coord warm-start {run.path}",
            )
        return weights
    if model.imagenet_weights is None:
        return None
    if not run.initial_weights.is_file():
        raise NotReadyError("The initial weights are not converted yet.", f"Run: paris-coord prepare {run.path}")
    return PartFile.model_validate_json(run.initial_weights.read_bytes())


def warm_start_task(run: RunDir) -> TrainingTask:
    """The training of the model that all experts start from: as an expert's, on the batches of all together.

    The learning rate grows with the root of the batch, as docs/quality.md measures it.

    Args:
        run: A prepared run with `[model] warm_start_steps`.

    Raises:
        NotReadyError: A cluster has no manifest.
        RunDirError: The data is not prepared yet.
        ExpertError: Settings are not valid.
    """
    from paris.experts.frozen.codec import CodecConfig
    from paris.experts.frozen.text import TextConfig
    from paris.experts.training.config import TrainingConfig, TrainingTask

    experts, steps = run.config.run.num_experts, run.config.model.warm_start_steps
    one = TrainingConfig.from_settings({"batch_size": 32, **run.config.expert_training, "steps": steps})
    together = {"batch_size": experts * one.batch_size, "learning_rate": math.sqrt(experts) * one.learning_rate}
    return TrainingTask(
        run_id=run.run_id,
        seed=run.config.run.seed,
        task_id="warm-start",
        model=model_config(run),
        training=one.model_copy(update=together),
        text=TextConfig.from_settings(text_settings(run)),
        codec=CodecConfig.from_settings(run.config.codec),
        shard_rows=tuple(shard.rows for manifest in load_manifests(run) for shard in manifest.shards),
    )


def warm_start_weights(run: RunDir, task: TrainingTask) -> PartFile | None:
    """The initial weights that this very training made, of these very shards; None where it has not."""
    if not (run.warm_start.is_file() and run.initial_weights.is_file()):
        return None
    made = json.loads(run.warm_start.read_bytes())
    weights = PartFile.model_validate_json(run.initial_weights.read_bytes())
    wanted = {**made_of(run, task), "sha256": weights.sha256}
    return weights if all(made.get(name) == value for name, value in wanted.items()) else None


def made_of(run: RunDir, task: TrainingTask) -> dict[str, Any]:
    """What decides the weights of a warm start: its task, and the shards themselves."""
    return {"task": task.digest, "manifests": [manifest.sha256 for manifest in load_manifests(run)]}


def keep_initial_weights(run: RunDir, expert: DiTExpert) -> PartFile:
    """Put weights where all experts start from them; they travel with the run's data.

    Args:
        run: A prepared run directory.
        expert: The weights, in float32.

    Raises:
        DiskFullError: No space; earlier initial weights are as they were.
    """
    from paris.experts.models.initial_weights import write_initial_weights

    weights = PartFile.model_validate(write_initial_weights(run.data, expert).to_settings())
    write_whole(run.initial_weights, weights.model_dump_json().encode())
    return weights


def convert_initial_weights(run: RunDir, checkpoint: Path) -> PartFile:
    """Make what all experts start from out of a DiT that was trained on ImageNet.

    Args:
        run: A prepared run directory.
        checkpoint: A safetensors file with DiT's own names, or those of diffusers.

    Raises:
        CheckpointError: The file is missing, or no DiT of the run's shape; earlier initial weights are as they were.
        DiskFullError: No space for the converted weights.
    """
    from paris.experts.models.imagenet import from_imagenet_dit

    return keep_initial_weights(run, from_imagenet_dit(checkpoint, model_config(run), run.config.run.seed))
