"""`paris-coord warm-start`: one short training on all the data, from which all experts then start.

It is the one stage at which somebody has all the data, which the organiser has anyway. A fifth of the whole compute so
spent brought the experts nearer to the data than starting from scratch (docs/quality.md).

<run>/warm-start/snapshots/...          while it trains; removed once the weights stand
<run>/data/initial_weights.safetensors  the weights; volunteers fetch them with the data
<run>/data/initial_weights.json         names them
<run>/data/warm_start.json              what they were made of; written last
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paris.coordinator.all_data import Training, run_shards, train_on_all
from paris.coordinator.console import print_json, say
from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.starting_weights import keep_initial_weights, made_of, warm_start_task, warm_start_weights
from paris.coordinator.store import Store
from paris.experts.models.model import DiTExpert
from paris.experts.training.config import TrainingTask
from paris.experts.weights.checkpoint import load_weights


def warm_start_run(run: RunDir, device: str | None, should_stop: Callable[[], bool], *, as_json: bool) -> None:
    """Train the common start from where it stands to the end, then put it where all experts start from.

    Args:
        run: A prepared run with `[model] warm_start_steps`, whose tasks are not open yet.
        device: Where to compute; None: as [compute] says.
        should_stop: Asked after each step; True saves and returns: the same call goes on.
        as_json: Progress and result as JSON lines on stdout.

    Raises:
        ConfigError: run.toml asks for no warm start; nothing is changed.
        RunDirError: Nothing is prepared, or experts may have begun from another start; nothing is changed.
        NotReadyError: Shards are missing.
        SnapshotError: Training in `warm-start` began with other settings; it is left as it is.
        ExpertError: As training raises.
    """
    if run.config.model.warm_start_steps is None:
        raise ConfigError(
            f"{run.path / 'run.toml'} asks for no warm start.",
            "Set warm_start_steps under [model], such as a fifth of what one expert's steps would be without.",
        )
    run.require_prepared()
    task = warm_start_task(run)
    if warm_start_weights(run, task) is None:
        _require_no_tasks(run)
        shards, work, begun = run_shards(run, task.model), run.path / "warm-start", time.monotonic()
        how = Training("warm start", work, device or run.config.compute.device)
        finished = train_on_all(run, task, shards, how, should_stop, as_json=as_json)
        if finished.weights_path is None:
            return
        facts = {"loss": finished.final_loss, "seconds": round(time.monotonic() - begun, 1)}
        _keep(run, task, finished.weights_path, facts)
    shutil.rmtree(run.path / "warm-start", ignore_errors=True)
    _tell(run, as_json=as_json)


def _require_no_tasks(run: RunDir) -> None:
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
            "Set warm_start_steps back to what it was, or make a new run: paris-coord init.",
        )


def _keep(run: RunDir, task: TrainingTask, weights: Path, facts: dict[str, Any]) -> None:
    expert = DiTExpert(task.model)
    load_weights(weights, expert)
    kept = keep_initial_weights(run, expert)
    made = {**made_of(run, task), "sha256": kept.sha256, "steps": task.steps, "batch_size": task.training.batch_size}
    write_whole(run.warm_start, json.dumps({**made, **facts}, indent=1).encode())


def _tell(run: RunDir, *, as_json: bool) -> None:
    facts = json.loads(run.warm_start.read_bytes())
    if as_json:
        print_json({"at": time.time(), "event": "warm-started", **facts})
    say(f"All experts start from {facts['steps']} steps of {facts['batch_size']} rows; loss {facts['loss']:.4f}.")
    say(f"Next: paris-coord publish-tasks {run.path}")
