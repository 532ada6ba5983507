"""Figures of one folder, each measured once: `<folder>/figures.jsonl`, one per line.

A restart measures only missing figures. A figure's key is a question, a guidance scale and a number of samples.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality_plan import Question
from benchmarks.small.arms import arm
from benchmarks.small.judge import Judge, open_judge
from benchmarks.small.pool import processes
from benchmarks.small.settings import SmallSettings, read_settings
from benchmarks.small.ways import TrainedArm, way
from paris.experts.files import write_whole

SCALES = (1.0, 1.25, 1.5, 2.0, 3.0)
_SCALE_SEED = 3_000_000
_KEPT_PICTURES = 48


def best_scales(folder: Path, questions: Iterable[Question], jobs: int) -> dict[str, float]:
    """The guidance scales at which arms are nearest to the data, on seeds of their own: asked once a data set.

    Args:
        folder: Of the data set's first seed, trained.
        questions: Guided ones. Experts are sampled ancestrally, with the question's guidance.
        jobs: Processes at a time.

    Returns:
        By `Question.scale_name`.
    """
    ways = {question.scale_name: (question.arm, question.scale_way) for question in questions}
    kept = folder / "guidance.json"
    found = json.loads(kept.read_bytes()) if kept.is_file() else {}
    missing = [name for name in ways if name not in found]
    with processes(jobs) as pool:
        asked = {
            (name, scale): pool.submit(_distance_at, folder, *ways[name], scale) for name in missing for scale in SCALES
        }
        for (name, scale), one in asked.items():
            found.setdefault(name, {})[f"{scale:g}"] = round(one.result(), 3)
    write_whole(kept, json.dumps(found).encode())
    return {name: float(min(found[name], key=found[name].__getitem__)) for name in ways}


def _distance_at(folder: Path, name: str, drawing: str, scale: float) -> float:
    torch.set_num_threads(1)
    settings, judge = _opened(folder)
    drawn = _ensemble(folder, name, ()).draw(judge, way(drawing), settings.samples, scale, _SCALE_SEED)
    return judge.frechet_of(drawn.pictures)


def measure(
    folder: Path, questions: Sequence[Question], scales: Mapping[str, float], jobs: int
) -> list[dict[str, Any]]:
    """Answer what was not yet answered, `jobs` questions at a time, each in a process of one thread.

    Args:
        folder: A trained folder.
        questions: What is asked.
        scales: From `best_scales`, of the guided questions.
        jobs: Processes.

    Returns:
        One row a question, in their order.
    """
    path = folder / "figures.jsonl"
    known = {line["key"]: line["row"] for line in _lines(path)}
    scale_of = {question: scales[question.scale_name] if question.is_guided else 1.0 for question in questions}
    keys = {question: f"{question.name} at {scale:g}" for question, scale in scale_of.items()}
    missing = [question for question, key in keys.items() if key not in known]
    with processes(jobs) as pool:
        running = {question: pool.submit(answer, folder, question, scale_of[question]) for question in missing}
        for question, one in running.items():
            known[keys[question]] = one.result()
            with path.open("a") as file:
                file.write(json.dumps({"key": keys[question], "row": known[keys[question]]}) + "\n")
            print(f"{folder.name}: {question.name}: {known[keys[question]]['frechet']}", flush=True)
    return [known[keys[question]] for question in questions]


def answer(folder: Path, question: Question, guidance_scale: float) -> dict[str, Any]:
    """One figure; keeps some of its pictures for the grid."""
    began = time.monotonic()
    torch.set_num_threads(1)
    settings, judge = _opened(folder)
    ensemble = _ensemble(folder, question.arm, question.without)
    row, pictures = ensemble.figures(judge, way(question.way), settings.samples, guidance_scale)
    kept = folder / "pictures" / f"{question.name}.npy"
    kept.parent.mkdir(exist_ok=True)
    np.save(kept, (pictures[:_KEPT_PICTURES] * 255).round().astype(np.uint8), allow_pickle=False)
    flops = arm(question.arm, settings).flops(settings)
    asked = {"arm": question.arm, "way": question.way, "without": list(question.without)}
    took = {"seconds": round(time.monotonic() - began, 1)}
    return {**asked, "is_guided": question.is_guided, **row, "training_flops": flops, **took}


def kept_pictures(folder: Path, questions: Iterable[Question]) -> list[tuple[str, np.ndarray]]:
    """Titles and the first pictures of some answered questions."""
    return [
        (question.name, np.load(folder / "pictures" / f"{question.name}.npy", allow_pickle=False))
        for question in questions
    ]


@functools.cache
def _opened(folder: Path) -> tuple[SmallSettings, Judge]:
    settings = read_settings(folder)
    return settings, open_judge(folder, settings)


@functools.lru_cache(maxsize=2)
def _ensemble(folder: Path, name: str, without: tuple[int, ...]) -> TrainedArm:
    settings, _ = _opened(folder)
    return TrainedArm(folder, settings, arm(name, settings), without)


def _lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines: the last may have been cut by a kill."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
