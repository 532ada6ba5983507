"""A trained folder, for other benchmarks: `load(FOLDER)` and then `.ensemble`, `.judge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.small.arms import arm
from benchmarks.small.judge import Judge, open_judge
from benchmarks.small.settings import SmallSettings, read_settings
from benchmarks.small.ways import TrainedArm


@dataclass(frozen=True)
class TrainedFolder:
    """What `python -m benchmarks.small.train --out FOLDER` made.

    Args:
        folder: Where it is.
        settings: What it was made with.
        ensemble: Its experts over semantic clusters, and their routers.
        judge: What measures samples.
    """

    folder: Path
    settings: SmallSettings
    ensemble: TrainedArm
    judge: Judge


def load(folder: Path | str) -> TrainedFolder:
    """Open it.

    Raises:
        SmallDataError: It is not a folder of this benchmark, or its data set is not installed.
        CheckpointError: Training has not ended there.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    ensemble = TrainedArm(folder, settings, arm(f"semantic-{settings.experts}", settings))
    return TrainedFolder(folder, settings, ensemble, open_judge(folder, settings))
