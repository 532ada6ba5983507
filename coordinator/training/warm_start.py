"""`paris-coord warm-start`: a short training on the data of all clusters, whose weights all experts start from.

docs/quality.md measures its effect.

<run>/warm-start/<digest of settings and data>/snapshots/...    during training; removed when the weights are written
<run>/data/initial_weights.*                                    see run/initial_weights.py
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import (
    StoredInitialWeights,
    read_initial_weights,
    save_initial_weights,
    warm_start_settings,
)
from paris.coordinator.run.locks import hold_lock, is_served
from paris.coordinator.run.prepared_data import model_config, text_settings
from paris.coordinator.state.reading import read_state
from paris.coordinator.training.pooled import PooledShard, PooledTraining, pooled_shards, train_pooled
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.model import DiTExpert
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.weights.checkpoint import load_weights


def warm_start_run(run: RunDir, device: str | None, should_stop: Callable[[], bool], *, as_json: bool) -> None:
    """Train the warm start from its last snapshot to the last step, then write the experts' initial weights.

    Does nothing if run.toml requests no warm start, or if the weights exist already.

    Args:
        run: A prepared run, not served, without open tasks.
        device: Where to compute; None is `device` of [compute].
        should_stop: Called after each step; True saves a snapshot and returns. The same call resumes.
        as_json: Print progress and result as JSON lines on stdout.

    Raises:
        RunDirError: The data is not prepared, another process trains the warm start, the run is served, or its tasks
            are open; nothing is changed. Or the data changed during the training; earlier initial weights are left
            unchanged.
        NotReadyError: Shards are missing.
        ShardError: The shards have another shape than the model's input.
        DiskFullError: No space for snapshots or weights; the last snapshot is kept.
        ExpertError: Training failed; the last snapshot is kept.
    """
    if run.config.model.warm_start_steps is None:
        say(f"{run.path / 'run.toml'} requests no warm start ([model] warm_start_steps): nothing to do.")
        return
    run.require_prepared()
    busy = RunDirError(f"Another process trains the warm start of {run.path}.", "Wait until it ends.")
    with hold_lock(run.path / "warm-start.lock", busy):
        stored = _read_current(run) or _train(run, device, should_stop, as_json=as_json)
        if stored is not None:
            shutil.rmtree(run.warm_start, ignore_errors=True)
            _print_result(run, stored, as_json=as_json)


def warm_start_task(run: RunDir, shards: list[PooledShard]) -> TrainingTask:
    """The task of an expert, but with the total batch of all experts.

    Args:
        run: A prepared run with `[model] warm_start_steps`.
        shards: The shards of all clusters.

    Raises:
        ExpertError: A setting is invalid.

    Source: the learning rate scales with the square root of the batch (Malladi et al., arXiv 2205.10330, for Adam).
    """
    experts, steps = run.config.run.num_experts, run.config.model.warm_start_steps
    one = TrainingConfig.from_settings({**run.config.expert_training, "steps": steps})
    scaled = {"batch_size": experts * one.batch_size, "learning_rate": math.sqrt(experts) * one.learning_rate}
    return TrainingTask(
        run_id=run.run_id,
        seed=run.config.run.seed,
        task_id="warm-start",
        model=model_config(run),
        training=TrainingConfig.from_settings({**one.to_settings(), **scaled}),
        text=TextConfig.from_settings(text_settings(run)),
        codec=CodecConfig.from_settings(run.config.codec),
        shard_rows=tuple(shard.rows for shard in shards),
    )


def _read_current(run: RunDir) -> StoredInitialWeights | None:
    """The stored weights, if they are undamaged and come from the run's present settings and data."""
    stored = read_initial_weights(run)
    if stored is None or stored.made_of != warm_start_settings(run):
        return None
    return stored if file_sha256(run.data / stored.weights.path) == stored.weights.sha256 else None


def _train(
    run: RunDir, device: str | None, should_stop: Callable[[], bool], *, as_json: bool
) -> StoredInitialWeights | None:
    """Train and store the weights; None if stopped."""
    _require_no_open_tasks(run)
    made_of, shards, started = warm_start_settings(run), pooled_shards(run, model_config(run)), time.monotonic()
    task = warm_start_task(run, shards)
    training = PooledTraining("warm start", task, shards, _work_dir(run, made_of), device or run.config.compute.device)
    finished = train_pooled(run, training, should_stop, as_json=as_json)
    if finished.weights_path is None:
        return None
    _require_no_open_tasks(run)
    if warm_start_settings(run) != made_of:
        raise RunDirError(f"{run.data} was prepared again during the warm start.", "Run the same command to restart.")
    expert = DiTExpert(task.model)
    load_weights(finished.weights_path, expert)
    facts = {"steps": task.steps, "batch_size": task.training.batch_size, "loss": finished.final_loss}
    facts["seconds"] = round(time.monotonic() - started, 1)
    return save_initial_weights(run, expert, "warm-start", made_of=made_of, facts=facts)


def _work_dir(run: RunDir, made_of: dict[str, Any]) -> Path:
    """A folder for each combination of settings and data, so that snapshots of another training are never resumed."""
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    folder = run.warm_start / digest[:16]
    if not folder.exists() and run.warm_start.exists():
        say("An unfinished warm start has other data or settings; this one starts from step 0.")
    return folder


def _require_no_open_tasks(run: RunDir) -> None:
    """Experts may start from the published weights as soon as tasks are open, so the weights may not change then."""
    if is_served(run):
        raise RunDirError(f"{run.path} is being served.", "Stop `paris-coord serve` first (Ctrl-C in its terminal).")
    if run.state == run.state_file and not run.state_file.is_file():
        return
    tasks = read_state(run).tasks
    if tasks:
        raise RunDirError(
            f"{len(tasks)} tasks are open: experts may already be training from the present initial weights.",
            "Other initial weights need a new run: paris-coord init.",
        )


def _print_result(run: RunDir, stored: StoredInitialWeights, *, as_json: bool) -> None:
    facts = stored.facts
    if as_json:
        print_json({"at": time.time(), "event": "warm-started", "sha256": stored.weights.sha256, **facts})
    say(f"Warm start: {facts['steps']} steps of {facts['batch_size']} rows, loss {facts['loss']:.4f}.")
    say(f"Next: paris-coord publish-tasks {shlex.quote(str(run.path))}")
