"""A training small enough for a test: its data, its task, and a process that does it.

python tiny_training.py FOLDER WORK [PAUSE_AT_STEP]    trains; prints "step N" lines; waits for a line at PAUSE_AT_STEP
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from paris.experts.data.shards import Row, write_shard
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.presets import ModelConfig
from paris.experts.training.config import Finished, Progress, TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining

SHAPE = (3, 8, 8)
SHARD_ROWS = (11, 7, 9, 5)
WORDS = ["blue", "cat", "dog", "heart", "red"]
MODEL = ModelConfig(
    image_size=8,
    in_channels=3,
    patch_size=4,
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    text_embed_dim=8,
    max_text_tokens=4,
)


def never() -> bool:
    return False


@dataclass
class Listener:
    """Keeps the reports, and asks for a stop after so many steps: it is asked once a step."""

    stop_after: int | None = None
    num_asked: int = 0
    heard: list[Progress] = field(default_factory=list)

    def report(self, progress: Progress) -> None:
        self.heard.append(progress)

    def should_stop(self) -> bool:
        self.num_asked += 1
        return self.num_asked == self.stop_after


def make_rows(count: int, seed: int, shape: tuple[int, ...] = SHAPE, low: int = 0, high: int = 256) -> list[Row]:
    """Rows of random pixels with captions of two words."""
    rng = np.random.default_rng(seed)
    return [
        Row(
            row_id=f"{seed}-{i}",
            latent=rng.integers(low, high, shape, dtype=np.uint8),
            caption=" ".join(rng.choice(WORDS, 2)),
            source="test",
            url=f"https://example.org/{seed}/{i}",
            author="nobody",
            licence="cc0-1.0",
            caption_origin="test",
        )
        for i in range(count)
    ]


def make_data(folder: Path) -> None:
    """Four shards and a vocabulary."""
    for index, count in enumerate(SHARD_ROWS):
        write_shard(shard_path(folder, index), make_rows(count, index), SHAPE, "uint8")
    write_vocabulary(folder / "vocab.json", WORDS)


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` is."""
    return folder / f"shard-{index:05d}.parquet"


def make_task(**training: object) -> TrainingTask:
    """24 steps with a snapshot every 5, unless told otherwise."""
    settings = {
        "steps": 24,
        "batch_size": 6,
        "learning_rate": 3e-3,
        "warmup_steps": 3,
        "final_learning_rate": 0.1,
        "weight_decay": 0.01,
        "ema_decay": 0.9,
        "caption_dropout": 0.3,
        "snapshot_every": 5,
        "window_shards": 2,
    }
    return TrainingTask(
        run_id="tiny-0123456789abcdef",
        seed=7,
        task_id="expert-1",
        model=MODEL,
        training=TrainingConfig.from_settings({**settings, **training}),
        text=TextConfig(kind="vocabulary", dim=8, max_tokens=4),
        codec=CodecConfig(kind="pixels"),
        shard_rows=SHARD_ROWS,
    )


def make_training(folder: Path, work: Path, report_every: int = 4, **training: object) -> ExpertTraining:
    """The training of `make_task` on the data of `make_data`."""
    return ExpertTraining(
        make_task(**training),
        work,
        lambda index: shard_path(folder, index),
        folder,
        report_every=report_every,
    )


@dataclass
class Undisturbed:
    """How a training ended that nothing came in the way of, and what it said meanwhile."""

    finished: Finished
    listener: Listener

    @classmethod
    def run(cls, folder: Path, work: Path) -> Undisturbed:
        listener = Listener()
        return cls(make_training(folder, work).run(listener.report, never), listener)


def is_same(finished: Finished, other: Undisturbed) -> bool:
    """Whether a training ended with the very same bits."""
    return (finished.weights_sha256, finished.commitment, finished.final_loss) == (
        other.finished.weights_sha256,
        other.finished.commitment,
        other.finished.final_loss,
    )


def main() -> None:
    """Train in this process, saying each step."""
    folder, work = Path(sys.argv[1]), Path(sys.argv[2])
    pause_at = int(sys.argv[3]) if len(sys.argv) > 3 else None

    def report(progress: Progress) -> None:
        print(f"step {progress.step}", flush=True)
        if progress.step == pause_at:
            sys.stdin.readline()

    finished = make_training(folder, work, report_every=1).run(report, lambda: False)
    print(f"done {finished.weights_sha256} {finished.commitment}", flush=True)


if __name__ == "__main__":
    main()
