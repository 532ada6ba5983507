"""Grids of samples that are drawn while the run goes on: the same prompts and seeds each time.

progress/grid-1796067902.png    a row of pictures for each of some experts; the number is the time, UTC seconds
progress/grid-1796067902.json   `Grid`
progress/strips/LEASE-COLUMNS.png   the row of one verified state, drawn once for the same `Grid.columns`
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.experts.files import write_whole
from paris.protocol.fields import LeaseId, Settings, TaskId

FOLDER = "progress"
_NAME = re.compile(r"grid-([0-9]{1,12})\.png")
_MOST = 48


class GridRow(BaseModel):
    """An expert's row; without a lease it has no verified work yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task_id: TaskId
    step: Annotated[int, Field(ge=0)] = 0
    lease_id: LeaseId | None = None
    """Of its last verified work."""
    model: Settings = {}
    """Of its size of expert."""
    objective: Settings = {}


class Grid(BaseModel):
    """What a grid shows; also the request to draw it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Annotated[int, Field(ge=1, le=1)] = 1
    rows: tuple[GridRow, ...]
    prompts: tuple[str, ...]
    """Of the columns; empty texts for a model without text."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...]
    """Of the columns."""
    settings: Settings = {}
    """How they are sampled: num_steps, time_shift, guidance_scale. Empty in a grid of an earlier version."""

    @property
    def columns(self) -> str:
        """A digest of prompts, seeds and settings: pictures of others are other pictures."""
        said = json.dumps([self.prompts, self.seeds, self.settings], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def leases(self) -> tuple[str | None, ...]:
        """What was verified of each row's expert: a grid of others is another grid."""
        return tuple(row.lease_id for row in self.rows)


def grid_times(run: Path) -> list[int]:
    """When the kept grids were drawn, UTC seconds, oldest first."""
    names = (_NAME.fullmatch(file.name) for file in (run / FOLDER).glob("grid-*.png"))
    return sorted(int(name[1]) for name in names if name is not None)


def read_grid(run: Path, time: int) -> Grid | None:
    """What the grid of a time shows; None where that is not known."""
    try:
        return Grid.model_validate_json((run / FOLDER / f"grid-{time}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def grid_file(run: Path, time: int) -> Path:
    """The picture of a time of `grid_times`."""
    return run / FOLDER / f"grid-{time}.png"


def write_grid(run: Path, time: int, grid: Grid) -> None:
    """Write what the grid of a time shows, and drop every second of the older ones where there are too many."""
    write_whole(run / FOLDER / f"grid-{time}.json", grid.model_dump_json().encode())
    times = grid_times(run)
    if len(times) >= _MOST:
        for old in times[1 : len(times) * 3 // 4 : 2]:
            grid_file(run, old).unlink(missing_ok=True)
            (run / FOLDER / f"grid-{old}.json").unlink(missing_ok=True)
