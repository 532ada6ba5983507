"""A pipeline's scheduler in a model's folder: scheduler/scheduler_config.json, as diffusers writes it.

Absent in the published weights, and in a model that is sampled by a solver of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers

from paris.experts.errors import LayoutError, SamplingError
from paris.experts.pipeline.steps import check_scheduler
from paris.experts.release.layout_files import read_json, write_json

_FOLDER = "scheduler"
_FILE = "scheduler_config.json"
_INDEX = "model_index.json"


def save_scheduler(folder: Path, scheduler: Any) -> None:
    """Write a scheduler's configuration into a model's folder, or remove the one that an earlier model left.

    Args:
        folder: A complete model's folder.
        scheduler: A flow-match scheduler of diffusers, or None.

    Raises:
        SamplingError: It is no flow-match scheduler; nothing is written.
    """
    if scheduler is None:
        (folder / _FOLDER / _FILE).unlink(missing_ok=True)
        return
    check_scheduler(scheduler)
    scheduler.save_pretrained(folder / _FOLDER)
    index = read_json(folder / _INDEX)
    write_json(folder / _INDEX, {**index, "scheduler": ["diffusers", type(scheduler).__name__]})


def load_scheduler(folder: Path) -> Any:
    """The scheduler that a model's folder names, or None.

    Args:
        folder: A model's folder.

    Raises:
        LayoutError: The file names a class that is no flow-match scheduler of diffusers, or settings it does not take.
    """
    path = folder / _FOLDER / _FILE
    if not path.is_file():
        return None
    fields = read_json(path)
    name = str(fields.get("_class_name"))
    # Only a name that diffusers itself exports as a scheduler: the file may come from anybody.
    known = getattr(diffusers, name, None) if name.endswith("Scheduler") and name.isidentifier() else None
    if not isinstance(known, type) or not issubclass(known, diffusers.SchedulerMixin):
        raise LayoutError(f"{path} names {name!r}, which is no scheduler of diffusers.")
    try:
        scheduler: Any = getattr(diffusers, name).from_config(fields)
        check_scheduler(scheduler)
    except (SamplingError, ValueError, TypeError) as error:
        raise LayoutError(f"{path}: {error}") from error
    return scheduler
