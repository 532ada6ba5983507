"""`paris-coord distill`: distil the experts into one dense model; each row's teacher is the expert of its cluster.

<out>/.distilling/snapshots/...   during training; removed when the model is complete
<out>/expert_0/  router/  ...     the model, in the release layout with one expert
<out>/README.md  ATTRIBUTION.parquet
<out>/distilled.json              settings, teachers and scores; written last
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.model_repo.card import student_card
from paris.coordinator.release.experts import TrainedExperts, fetch_trained_experts
from paris.coordinator.release.sample import sample_command
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.training.pooled import PooledShard, PooledTraining, pooled_shards, train_pooled
from paris.coordinator.training.student_scores import heldout_scores
from paris.experts.files import copy_whole, write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.release.bank import ExpertBank
from paris.experts.release.single import single_layout, write_single
from paris.experts.training.config import TrainingConfig
from paris.experts.training.distillation import STEPS_PER_FETCH, DistillationTask, teacher_targets

_WORK_DIR = ".distilling"
_BATCH_DIVISOR = 4
"""The student's batch is a quarter of the experts' total batch (McAllister et al., arXiv 2501.05450)."""


@dataclass(frozen=True)
class DistillRequest:
    """Options of `paris-coord distill`; None is the default."""

    out: Path | None = None
    """Folder of the model; default `distilled` in the run directory."""
    steps: int | None = None
    """Optimizer steps; default those of an expert."""
    batch_size: int | None = None
    """Rows of a step; default a quarter of the experts' total batch."""
    max_resident_experts: int | None = None
    """Experts in memory at once; default all."""
    device: str | None = None
    """Default: `device` of [compute]."""


def distill_run(run: RunDir, request: DistillRequest, should_stop: Callable[[], bool], *, as_json: bool) -> None:
    """Train the student from its last snapshot to the last step, then write the model.

    Args:
        run: A prepared run whose experts are all registered, or released.
        request: Options.
        should_stop: Called after each step; True saves a snapshot and returns. The same call resumes.
        as_json: Print progress and result as JSON lines on stdout.

    Raises:
        NotReadyError: Experts or shards are missing; nothing is changed.
        ShardError: The shards have another shape than the experts' input.
        RunDirError: The folder contains another model, which is left unchanged.
        SnapshotError: The folder's snapshots belong to other settings; they are left unchanged.
        ExpertError: Training failed; the last snapshot is kept.
    """
    run.require_prepared()
    teachers = fetch_trained_experts(run)
    shards = pooled_shards(run, teachers.layout.model)
    task, out = _distillation_task(run, teachers, shards, request), (request.out or run.path / "distilled").resolve()
    device, max_resident = request.device or run.config.compute.device, request.max_resident_experts
    if not _is_done(out, task):
        started = time.monotonic()
        with ExpertBank.open(teachers.folder, teachers.layout, device, max_resident_experts=max_resident) as bank:
            is_resident = max_resident is None or max_resident >= len(bank)
            targets = teacher_targets(task, bank, device, 1 if is_resident else STEPS_PER_FETCH)
            training = PooledTraining("distilling", task, shards, out / _WORK_DIR, device, targets)
            finished = train_pooled(run, training, should_stop, as_json=as_json)
            if finished.weights_path is None:
                return
            scores = heldout_scores(run, teachers, bank, finished.weights_path, device)
        facts = {"loss": finished.final_loss, "heldout": scores, "seconds": round(time.monotonic() - started, 1)}
        _write_student(run, teachers, task, out, finished.weights_path, facts)
    shutil.rmtree(out / _WORK_DIR, ignore_errors=True)
    _print_result(run, out, as_json=as_json)


def _distillation_task(
    run: RunDir, teachers: TrainedExperts, shards: list[PooledShard], request: DistillRequest
) -> DistillationTask:
    spec = make_spec(run, [])
    total_batch = len(teachers.digests) * int(run.config.expert_training["batch_size"])
    changes = {
        "steps": request.steps or run.config.tasks.steps,
        "batch_size": request.batch_size or max(1, total_batch // _BATCH_DIVISOR),
    }
    start = spec.initial_weights
    return DistillationTask(
        run_id=run.run_id,
        seed=spec.seed,
        task_id="student",
        model=teachers.layout.model,
        training=TrainingConfig.from_settings({**spec.training, **changes}),
        text=TextConfig.from_settings(spec.text),
        codec=CodecConfig.from_settings(spec.codec),
        shard_rows=tuple(shard.rows for shard in shards),
        initial_weights=InitialWeights.from_settings(start.model_dump()) if start else None,
        shard_clusters=tuple(shard.cluster for shard in shards),
        teachers=teachers.digests,
    )


def _is_done(out: Path, task: DistillationTask) -> bool:
    """Whether the folder contains the result of this very task.

    Raises:
        RunDirError: It contains another model.
    """
    record = out / "distilled.json"
    if not record.is_file():
        if (out / "config.json").is_file() and not (out / _WORK_DIR).is_dir():
            raise RunDirError(f"{out} contains a model that was not distilled here.", "Choose another folder: --out.")
        return False
    if read_object(record, "Choose another folder (--out), or remove this one.").get("task") != task.digest:
        raise RunDirError(
            f"{out} contains a model distilled from other experts or with other settings.",
            "Choose another folder (--out), or remove this one.",
        )
    return True


def _write_student(
    run: RunDir, teachers: TrainedExperts, task: DistillationTask, out: Path, weights: Path, facts: dict[str, Any]
) -> None:
    layout = single_layout(teachers.layout, f"{run.config.run.name}-distilled")
    write_single(out, layout, weights, teachers.frozen_folder)
    card = student_card(run, out.name, task.steps, task.training.batch_size, teachers.digests)
    write_whole(out / "README.md", card.encode())
    if (run.data / "attribution.parquet").is_file():
        copy_whole(run.data / "attribution.parquet", out / "ATTRIBUTION.parquet")
    settings = {"task": task.digest, "steps": task.steps, "batch_size": task.training.batch_size}
    record = {**settings, "teachers": list(teachers.digests), **facts}
    write_whole(out / "distilled.json", json.dumps(record, indent=1).encode())


def _print_result(run: RunDir, out: Path, *, as_json: bool) -> None:
    facts = read_object(out / "distilled.json", "Choose another folder (--out), or remove this one.")
    if as_json:
        print_json({"at": time.time(), "event": "distilled", "out": str(out), **facts})
    say(f"Wrote the distilled model to {out}; its distillation loss is {facts['loss']:.4f}.")
    if heldout := facts["heldout"]:
        losses = f"student {heldout['student']:.4f}, each expert on its own cluster {heldout['experts']:.4f}"
        say(f"Held-out loss: {losses}.")
    say(f"Next: {sample_command(run, out)}")
