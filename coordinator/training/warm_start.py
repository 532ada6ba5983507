"""`paris-coord warm-start`: one short training on all the data, from which all experts then start.

It is the one stage at which somebody has all the data, which the organiser has anyway. What it brings stands in
docs/quality.md.

<run>/warm-start/<what decides its weights>/snapshots/...    while it trains; removed once the weights stand
<run>/data/initial_weights.*                                 see initial_weights.py
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import Start, keep_initial_weights, standing_start, warm_start_settings
from paris.coordinator.run.locks import is_served, locked
from paris.coordinator.run.prepared_data import model_config, text_settings
from paris.coordinator.state.store import Store
from paris.coordinator.training.all_clusters import Place, RunShard, run_shards, train_on_all
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.model import DiTExpert
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.weights.checkpoint import load_weights


def warm_start_run(run: RunDir, device: str | None, should_stop: Callable[[], bool], *, as_json: bool) -> None:
    """Train the common start from where it stands to the end, then put it where all experts start from.

    Does nothing where run.toml asks for none, or where it stands already.

    Args:
        run: A prepared run, not served, whose tasks are not open yet.
        device: Where to compute; None: as [compute] says.
        should_stop: Asked after each step; True saves and returns: the same call goes on.
        as_json: Progress and result as JSON lines on stdout.

    Raises:
        RunDirError: Nothing is prepared, another process does the same, the run is served, or its tasks are open, so
            that experts may have begun from another start; nothing is changed. Or data was prepared anew meanwhile;
            earlier initial weights are as they were.
        NotReadyError: Shards are missing.
        ShardError: They hold something else than the model reads.
        DiskFullError: No space for snapshots or weights; the last snapshot is kept.
        ExpertError: As training raises.
    """
    if run.config.model.warm_start_steps is None:
        say(f"{run.path / 'run.toml'} asks for no warm start ([model] warm_start_steps): nothing to do.")
        return
    run.require_prepared()
    busy = RunDirError(f"Another process trains the warm start of {run.path}.", "Wait for it.")
    with locked(run.path / "warm-start.lock", busy):
        start = _standing(run) or _train(run, device, should_stop, as_json=as_json)
        if start is not None:
            shutil.rmtree(run.warm_start, ignore_errors=True)
            _tell(run, start, as_json=as_json)


def warm_start_task(run: RunDir, shards: list[RunShard]) -> TrainingTask:
    """The training of the model that all experts start from: as an expert's, on the batches of all together.

    Args:
        run: A prepared run with `[model] warm_start_steps`.
        shards: All of it.

    Raises:
        ExpertError: Settings are not valid.

    Source: the learning rate grows with the root of the batch, as Malladi et al. (arXiv 2205.10330) derive for Adam.
    """
    experts, steps = run.config.run.num_experts, run.config.model.warm_start_steps
    one = TrainingConfig.from_settings({**run.config.expert_training, "steps": steps})
    together = {"batch_size": experts * one.batch_size, "learning_rate": math.sqrt(experts) * one.learning_rate}
    return TrainingTask(
        run_id=run.run_id,
        seed=run.config.run.seed,
        task_id="warm-start",
        model=model_config(run),
        training=TrainingConfig.from_settings({**one.to_settings(), **together}),
        text=TextConfig.from_settings(text_settings(run)),
        codec=CodecConfig.from_settings(run.config.codec),
        shard_rows=tuple(shard.rows for shard in shards),
    )


def _standing(run: RunDir) -> Start | None:
    """The start that is wanted, where it stands, whole to the last byte."""
    start = standing_start(run)
    if start is None or start.made_of != warm_start_settings(run):
        return None
    return start if file_sha256(run.data / start.weights.path) == start.weights.sha256 else None


def _train(run: RunDir, device: str | None, should_stop: Callable[[], bool], *, as_json: bool) -> Start | None:
    """To the end, and the weights in their place; None where it was stopped."""
    _require_not_begun(run)
    made_of, shards, begun = warm_start_settings(run), run_shards(run, model_config(run)), time.monotonic()
    task = warm_start_task(run, shards)
    place = Place("warm start", _work(run, made_of), device or run.config.compute.device)
    finished = train_on_all(run, task, shards, place, should_stop, as_json=as_json)
    if finished.weights_path is None:
        return None
    _require_not_begun(run)
    if warm_start_settings(run) != made_of:
        raise RunDirError(f"{run.data} was prepared anew during the warm start.", "The same command begins again.")
    expert = DiTExpert(task.model)
    load_weights(finished.weights_path, expert)
    facts = {"steps": task.steps, "batch_size": task.training.batch_size, "loss": finished.final_loss}
    facts["seconds"] = round(time.monotonic() - begun, 1)
    return keep_initial_weights(run, expert, "warm-start", made_of=made_of, facts=facts)


def _work(run: RunDir, made_of: dict[str, Any]) -> Path:
    """Snapshots of other data or settings are of another training: each has a folder of its own."""
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    folder = run.warm_start / digest[:16]
    if not folder.exists() and run.warm_start.exists():
        say("A warm start with other data or settings was begun before; this one begins anew.")
    return folder


def _require_not_begun(run: RunDir) -> None:
    """No expert may have begun, nor a description be published, that names another start."""
    if is_served(run):
        raise RunDirError(f"{run.path} is being served.", "Stop `paris-coord serve` first (Ctrl-C in its terminal).")
    if not run.state_file.is_file():
        return
    store = Store(run.state_file)
    try:
        tasks = store.load().tasks
    finally:
        store.close()
    if tasks:
        raise RunDirError(
            f"{len(tasks)} tasks are open: experts may have begun from the start that they were opened with.",
            "A run with another start is a new run: paris-coord init.",
        )


def _tell(run: RunDir, start: Start, *, as_json: bool) -> None:
    facts = start.facts
    if as_json:
        print_json({"at": time.time(), "event": "warm-started", "sha256": start.weights.sha256, **facts})
    say(f"All experts start from {facts['steps']} steps of {facts['batch_size']} rows; loss {facts['loss']:.4f}.")
    say(f"Next: paris-coord publish-tasks {run.path}")
