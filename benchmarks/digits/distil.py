"""The digits' experts distilled into one dense model of the same shape, through the code of `paris-coord distill`.

<folder>/work/student/snapshots ...  expert.safetensors  report.json      gone on with where it stopped
<folder>/distilled/                                                       a model of one expert
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.digits.clusters import read_clusters, training_shard
from benchmarks.digits.settings import read_settings
from paris.experts.files import file_sha256, write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.release.layout import expert_path, read_layout
from paris.experts.release.residency import ExpertBank
from paris.experts.release.single import single_layout, write_single
from paris.experts.training.distillation import DistillationTask, lessons_of
from paris.experts.training.expert_training import ExpertTraining, Progress

DISTILLED = "distilled"
_BATCH_SHARE = 4
_REPORT_EVERY = 50
_SAY_EVERY = 500


def distil(
    folder: Path, *, steps: int | None = None, batch_size: int | None = None, say: Callable[[str], None] = print
) -> Path:
    """Train the student to the end and write its model, or do nothing where that is done. Takes the process for itself.

    Args:
        folder: The benchmark's folder, with its `model/`.
        steps: Optimizer steps; None: as many as an expert's.
        batch_size: Rows of a step; None: a quarter of what all experts together see.
        say: Told a line now and then.

    Returns:
        The model's folder.
    """
    out, model = folder / DISTILLED, folder / "model"
    if (out / "config.json").is_file():
        return out
    layout, data = read_layout(model), folder / "data"
    task = _task(folder, steps, batch_size)
    losses: list[tuple[int, float]] = []

    def report(progress: Progress) -> None:
        if progress.loss is not None:
            losses.append((progress.step, progress.loss))
            if progress.step % _SAY_EVERY == 0:
                say(f"student: step {progress.step} of {progress.steps}, loss to its teachers {progress.loss:.4f}")

    began, work = time.monotonic(), folder / "work" / "student"
    with ExpertBank.open(model, layout) as bank:
        lessons = lessons_of(task, bank)
        training = ExpertTraining(
            task, work, lambda k: training_shard(data, k), data, report_every=_REPORT_EVERY, lessons=lessons
        )
        finished = training.run(report, lambda: False)
    facts = {"losses": losses, "batch_size": task.training.batch_size, "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts).encode())
    if finished.weights_path is not None:
        write_single(out, single_layout(layout, "Digits, distilled"), finished.weights_path, model)
    return out


def _task(folder: Path, steps: int | None, batch_size: int | None) -> DistillationTask:
    settings, model = read_settings(folder), folder / "model"
    training = settings.training(is_monolith=True)
    asked = {"steps": steps or settings.steps, "batch_size": batch_size or max(1, settings.batch_size // _BATCH_SHARE)}
    return DistillationTask(
        run_id="digits",
        seed=settings.seed,
        task_id="student",
        model=settings.model,
        training=training.model_copy(update=asked),
        text=settings.text,
        codec=CodecConfig(),
        shard_rows=tuple(c.shard_rows[0] for c in read_clusters(folder / "data", settings.experts)),
        shard_clusters=tuple(range(settings.experts)),
        teachers=tuple(file_sha256(expert_path(model, k)) for k in range(settings.experts)),
    )
