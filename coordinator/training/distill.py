"""`paris-coord distill`: the run's experts as one dense model, each row taught by the expert of its cluster.

<out>/.distilling/snapshots/...   while it trains; removed once the model stands
<out>/expert_0/  router/  ...     the model, in the published layout with one expert
<out>/README.md  ATTRIBUTION.parquet
<out>/distilled.json              what it was made of, and how near it came; written last
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
from paris.coordinator.release.card import student_card
from paris.coordinator.release.experts import TrainedExperts, trained_experts
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.training.all_clusters import Place, RunShard, run_shards, train_on_all
from paris.coordinator.training.student_scores import heldout_scores
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.release.residency import ExpertBank
from paris.experts.release.single import single_layout, write_single
from paris.experts.training.config import Finished, TrainingConfig
from paris.experts.training.distillation import STEPS_TOGETHER, DistillationTask, lessons_of

_WORK = ".distilling"
_BATCH_SHARE = 4
"""The student's batch is this part of all experts' together (McAllister et al., arXiv 2501.05450)."""


@dataclass(frozen=True)
class DistillRequest:
    """What is asked for; None takes what the run says."""

    out: Path | None = None
    """The model's folder; None: `distilled` in the run directory."""
    steps: int | None = None
    batch_size: int | None = None
    """None: a quarter of what all experts together see in a step."""
    max_resident_experts: int | None = None
    device: str | None = None


@dataclass(frozen=True)
class _Plan:
    """What is done, every question answered."""

    run: RunDir
    experts: TrainedExperts
    task: DistillationTask
    shards: list[RunShard]
    out: Path
    device: str
    max_resident_experts: int | None


def distill_run(run: RunDir, request: DistillRequest, should_stop: Callable[[], bool], *, as_json: bool) -> None:
    """Train the student from where it stands to the end, then write the model.

    Args:
        run: A prepared run whose experts are all registered, or released.
        request: What is asked for.
        should_stop: Asked after each step; True saves and returns: the same call goes on.
        as_json: Progress and result as JSON lines on stdout.

    Raises:
        NotReadyError: Experts or shards are missing; nothing is changed.
        ShardError: The shards hold something else than the experts read.
        RunDirError: The folder holds another model; it is left as it is.
        SnapshotError: Training there began with other settings; it is left as it is.
        ExpertError: As training raises.
    """
    plan = _plan(run, request)
    if not _is_done(plan):
        begun = time.monotonic()
        with ExpertBank.open(
            plan.experts.folder, plan.experts.layout, plan.device, max_resident_experts=plan.max_resident_experts
        ) as bank:
            finished = _train(plan, bank, should_stop, as_json=as_json)
            if finished.weights_path is None:
                return
            scores = heldout_scores(run, plan.experts, bank, finished.weights_path, plan.device)
        facts = {"loss": finished.final_loss, "heldout": scores, "seconds": round(time.monotonic() - begun, 1)}
        _write(plan, finished.weights_path, facts)
    shutil.rmtree(plan.out / _WORK, ignore_errors=True)
    _tell(plan.out, as_json=as_json)


def _plan(run: RunDir, request: DistillRequest) -> _Plan:
    run.require_prepared()
    experts = trained_experts(run)
    shards = run_shards(run, experts.layout.model)
    return _Plan(
        run=run,
        experts=experts,
        task=_task(run, experts, shards, request),
        shards=shards,
        out=(request.out or run.path / "distilled").resolve(),
        device=request.device or run.config.compute.device,
        max_resident_experts=request.max_resident_experts,
    )


def _task(run: RunDir, experts: TrainedExperts, shards: list[RunShard], request: DistillRequest) -> DistillationTask:
    spec, together = make_spec(run, []), len(experts.digests) * int(run.config.expert_training["batch_size"])
    asked = {
        "steps": request.steps or run.config.tasks.steps,
        "batch_size": request.batch_size or max(1, together // _BATCH_SHARE),
    }
    start = spec.initial_weights
    return DistillationTask(
        run_id=run.run_id,
        seed=spec.seed,
        task_id="student",
        model=experts.layout.model,
        training=TrainingConfig.from_settings({**spec.training, **asked}),
        text=TextConfig.from_settings(spec.text),
        codec=CodecConfig.from_settings(spec.codec),
        shard_rows=tuple(shard.rows for shard in shards),
        initial_weights=InitialWeights.from_settings(start.model_dump()) if start else None,
        shard_clusters=tuple(shard.cluster for shard in shards),
        teachers=experts.digests,
    )


def _train(plan: _Plan, bank: ExpertBank, should_stop: Callable[[], bool], *, as_json: bool) -> Finished:
    most = plan.max_resident_experts
    together = 1 if most is None or most >= len(bank) else STEPS_TOGETHER
    lessons = lessons_of(plan.task, bank, plan.device, together)
    place = Place("distilling", plan.out / _WORK, plan.device, lessons)
    return train_on_all(plan.run, plan.task, plan.shards, place, should_stop, as_json=as_json)


def _write(plan: _Plan, weights: Path, facts: dict[str, Any]) -> None:
    """The model's folder; distilled.json is written when all else stands."""
    run, task, out, teachers = plan.run, plan.task, plan.out, plan.experts.digests
    layout = single_layout(plan.experts.layout, f"{run.config.run.name}-distilled")
    write_single(out, layout, weights, plan.experts.parts)
    card = student_card(run, out.name, task.steps, task.training.batch_size, teachers)
    write_whole(out / "README.md", card.encode())
    if (run.data / "attribution.parquet").is_file():
        shutil.copyfile(run.data / "attribution.parquet", out / "ATTRIBUTION.parquet")
    made = {"task": task.digest, "steps": task.steps, "batch_size": task.training.batch_size}
    content = {**made, "teachers": list(teachers), **facts}
    write_whole(out / "distilled.json", json.dumps(content, indent=1).encode())


def _is_done(plan: _Plan) -> bool:
    """Whether the very model that is asked for stands there already.

    Raises:
        RunDirError: Another one does.
    """
    out, record = plan.out, plan.out / "distilled.json"
    if not record.is_file():
        if (out / "config.json").is_file() and not (out / _WORK).is_dir():
            raise RunDirError(f"{out} holds a model that was not distilled here.", "Give another folder with --out.")
        return False
    if json.loads(record.read_text("utf-8")).get("task") != plan.task.digest:
        raise RunDirError(
            f"{out} holds a model that was distilled otherwise (other experts or settings).",
            "Give another folder with --out, or remove that one.",
        )
    return True


def _tell(out: Path, *, as_json: bool) -> None:
    facts = json.loads((out / "distilled.json").read_text("utf-8"))
    if as_json:
        print_json({"at": time.time(), "event": "distilled", "out": str(out), **facts})
    say(f"One dense model stands in {out}; its loss to its teachers is {facts['loss']:.4f}.")
    if heldout := facts["heldout"]:
        says = f"student {heldout['student']:.4f}, experts each on its own cluster {heldout['experts']:.4f}"
        say(f"On held-out rows: {says}.")
    say(f'Next: paris-coord sample "a red heart" --model {out}')
