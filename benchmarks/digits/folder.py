"""A trained folder, for other benchmarks: `load(FOLDER)` and then `.pipeline`, `.judge`, `.draw`.

digits = load(Path("digits"))
pictures, labels = digits.draw(500, routing="top2", guidance_scale=2.5)
digits.judge.frechet_of(pictures, which="heldout")
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.digits.data import DigitsError, load_split
from benchmarks.digits.experts import MONOLITH
from benchmarks.digits.features import load_classifier
from benchmarks.digits.judge import Judge, Which, prompts_for
from benchmarks.digits.settings import DigitsSettings, read_settings
from paris.experts.pipeline.pipeline import ParisPipeline

_FIRST_SEED = 1_000_000
_ROWS_AT_ONCE = 250


@dataclass(frozen=True)
class TrainedDigits:
    """A finished folder of this benchmark.

    Args:
        folder: Where it is.
        settings: What it was made with.
        pipeline: All experts and their routers.
        judge: What measures samples.
    """

    folder: Path
    settings: DigitsSettings
    pipeline: ParisPipeline
    judge: Judge

    def monolith(self) -> ParisPipeline:
        """The one model of equal training compute, where the folder has it.

        Raises:
            DigitsError: It was not trained here.
        """
        if not (self.folder / MONOLITH / "config.json").is_file():
            raise DigitsError(f"{self.folder} has no monolith.", "Train again with --monolith and the same folder.")
        return _quiet_pipeline(self.folder / MONOLITH)

    def draw(
        self, num_pictures: int, pipeline: ParisPipeline | None = None, **options: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples of all ten digits in even shares, each from its own seed: the same for every way of sampling.

        Args:
            num_pictures: How many.
            pipeline: Another one than the folder's own, such as `monolith()`.
            options: Of the pipeline's call: `routing`, `guidance_scale`, `num_inference_steps`, `solver`, ...

        Returns:
            Floats in [0, 1] `[N, 16, 16, 3]`, and the digit that each was asked for `[N]`.
        """
        prompts, labels = prompts_for(num_pictures)
        pipe, parts = pipeline or self.pipeline, []
        for begin in range(0, num_pictures, _ROWS_AT_ONCE):
            some = prompts[begin : begin + _ROWS_AT_ONCE]
            seeds = [_FIRST_SEED + begin + row for row in range(len(some))]
            parts.append(np.asarray(pipe(some, generator=seeds, output_type="np", **options).images))
        return np.concatenate(parts), labels


def load(folder: Path | str) -> TrainedDigits:
    """Open what `python -m benchmarks.digits.train --out FOLDER` made.

    Raises:
        DigitsError: It is not a folder of this benchmark, or the digits are not installed.
        LayoutError: Training has not ended there.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    return TrainedDigits(folder, settings, _quiet_pipeline(folder / "model"), open_judge(folder, settings))


def open_judge(folder: Path, settings: DigitsSettings) -> Judge:
    """The measure alone: the folder's classifier and its split."""
    return Judge(load_classifier(folder / "data" / "classifier.safetensors"), *load_split(settings.seed))


def frechet_of(pictures: np.ndarray, which: Which = "heldout", *, folder: Path | str) -> float:
    """One distance, without a model: see `Judge.frechet_of`.

    Args:
        pictures: As there.
        which: As there.
        folder: Whose classifier looks; distances by different ones do not compare.
    """
    return open_judge(Path(folder), read_settings(Path(folder))).frechet_of(pictures, which)


def _quiet_pipeline(folder: Path) -> ParisPipeline:
    """A model of this benchmark, without a progress bar for every few samples."""
    pipeline = ParisPipeline.from_pretrained(folder, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
