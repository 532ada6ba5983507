"""One stretch of a small training, by a machine or a cheat: python -m benchmarks.replay_stretch CASE.json

    {"work": ..., "data": ..., "start": 100, "head": <folder of a state, or null>, "lengths": [1, 10],
     "machine": {fields of MachineSettings}, "training": {changed fields of TrainingConfig}}

The state after each length is left in <work>/after-<length>. A process of its own, because some rounding is decided
when torch is imported.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.made_pictures import make_pictures
from paris.experts.data.shards import Row, write_shard
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import build_vocabulary, write_vocabulary
from paris.experts.models.presets import ModelConfig
from paris.experts.training.commitments import commitment_of, read_state
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.experts.training.machine import MachineSettings

SIDE_PX, NUM_PICTURES, NUM_KINDS, SHARD_ROWS = 16, 1600, 8, (400, 400)
MODEL = ModelConfig(
    image_size=SIDE_PX,
    in_channels=3,
    patch_size=4,
    hidden_size=96,
    num_layers=4,
    num_heads=4,
    text_embed_dim=16,
    max_text_tokens=8,
)
STEPS, EVERY = 1000, 100
TRAINING: dict[str, Any] = {
    "steps": STEPS,
    "batch_size": 20,
    "learning_rate": 1e-3,
    "warmup_steps": 20,
    "weight_decay": 0.01,
    "ema_decay": 0.99,
    "snapshot_every": EVERY,
}


def make_data(folder: Path) -> None:
    """Two clusters of 800 pictures; the first also with the captions of the second, and with poison in 1 % and 5 %."""
    make_pictures(folder / "pictures", NUM_PICTURES)
    pictures, captions = _read(folder / "pictures")
    is_first = np.arange(NUM_PICTURES) % NUM_KINDS < NUM_KINDS // 2
    own, other = np.flatnonzero(is_first), np.flatnonzero(~is_first)
    texts = [captions[i] for i in own]
    _write(folder / "own", pictures[own], texts)
    _write(folder / "other", pictures[other], [captions[i] for i in other])
    _write(folder / "captions", pictures[own], [captions[i] for i in other])
    for percent in (1, 5):
        poisoned, changed = pictures[own].copy(), list(texts)
        for row in np.random.default_rng(0).permutation(len(own))[: len(own) * percent // 100]:
            poisoned[row] = pictures[other[0]]
            changed[row] = f"{texts[row]} zz"
        _write(folder / f"poison-{percent}", poisoned, changed)
    write_vocabulary(folder / "vocab.json", build_vocabulary([*captions, "zz"]))


def _read(folder: Path) -> tuple[np.ndarray, list[str]]:
    pictures, captions = [], []
    for table in sorted(folder.glob("*/metadata.csv")):
        with table.open(newline="") as file:
            for line in csv.DictReader(file):
                pixels = np.asarray(Image.open(table.parent / line["file_name"]))
                pictures.append(pixels[::2, ::2].transpose(2, 0, 1))
                captions.append(line["text"])
    return np.stack(pictures), captions


def _write(folder: Path, pictures: np.ndarray, captions: list[str]) -> None:
    begin = 0
    for index, count in enumerate(SHARD_ROWS):
        rows = [
            Row(f"{i}", pictures[i], captions[i], "drawn", "", "", "CC0-1.0", "by hand")
            for i in range(begin, begin + count)
        ]
        write_shard(folder / f"shard-{index}.parquet", rows, (3, SIDE_PX, SIDE_PX), "uint8")
        begin += count


def make_task(changes: dict[str, Any]) -> TrainingTask:
    """The expert's task; a cheat's has changes."""
    return TrainingTask(
        run_id="replay-0123456789abcdef",
        seed=7,
        task_id="expert-0",
        model=MODEL,
        training=TrainingConfig.from_settings({**TRAINING, **changes}),
        text=TextConfig(kind="vocabulary", dim=16, max_tokens=8),
        codec=CodecConfig(kind="pixels"),
        shard_rows=SHARD_ROWS,
    )


def train_stretch(case: dict[str, Any]) -> None:
    """Train the stretch of a case."""
    task, work, shards = make_task(case["training"]), Path(case["work"]), Path(case["data"])
    head = _adopt(task, Path(case["head"]), work) if case["head"] else None
    leg = Leg(until_step=STEPS, head=head)
    machine = MachineSettings.from_settings(case["machine"])
    for length in case["lengths"]:
        end, step = case["start"] + length, [case["start"]]
        training = ExpertTraining(
            task, work, lambda i: shards / f"shard-{i}.parquet", shards.parent, machine, report_every=1, leg=leg
        )
        # Reported after the stop is asked for: one step behind.
        training.run(
            lambda progress, step=step: step.__setitem__(0, progress.step),
            lambda step=step, end=end: step[0] + 1 >= end,
        )
        folder = next(path for path in (work / "snapshots").iterdir() if path.name.endswith(f"-{end:08d}"))
        shutil.copytree(folder, work / f"after-{length}")


def _adopt(task: TrainingTask, state: Path, work: Path) -> Head:
    shutil.copytree(state, work / HEAD_FOLDER)
    known = read_state(state)
    commitment = commitment_of(known.previous, task.digest, known.step, known.files)
    return Head(
        step=known.step, loss=known.loss or 0.0, previous=known.previous, commitment=commitment, files=known.files
    )


if __name__ == "__main__":
    train_stretch(json.loads(Path(sys.argv[1]).read_text()))
