"""Pictures that an expert drew as it learned: one folder a task, over all its legs on this machine.

index.json          this file's `DrawingsIndex`
step-00000200.png   a grid of pictures, drawn after 200 steps; at most 48 such files
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.experts.files import write_whole

NUM_PICTURES, NUM_STEPS = 8, 8
"""Pictures of a grid, and steps from noise to a picture."""
MOST = 48
_INDEX = "index.json"
_NAME = re.compile(r"step-([0-9]{8,9})\.png")


class DrawingsIndex(BaseModel):
    """What all grids of a folder have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    captions: tuple[str, ...]
    """Of each picture, row by row; empty for a model that reads no text."""
    is_latent: bool
    """The model makes latents, of which the grid shows three channels as colours."""
    problem: str = ""
    """Why nothing more is drawn."""


class Drawings:
    """The folder of one task's drawings.

    Args:
        folder: Made when something is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def index(self) -> DrawingsIndex | None:
        """The index; None if there is none, or none that this version can read: the next training writes it anew."""
        try:
            return DrawingsIndex.model_validate_json((self.folder / _INDEX).read_bytes())
        except (OSError, ValidationError):
            return None

    def steps(self) -> list[int]:
        """Steps with a grid, rising."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*.png"))
        return sorted(int(name[1]) for name in names if name)

    def grid(self, step: int) -> bytes | None:
        """The grid of a step as PNG; None without one."""
        try:
            return self._path(step).read_bytes()
        except OSError:
            return None

    def begin(self, index: DrawingsIndex, step: int) -> None:
        """Go on from a step: grids of later steps, which another training drew, are deleted.

        Raises:
            DiskFullError: No room for the index.
        """
        for later in self.steps():
            if later > step:
                self._path(later).unlink(missing_ok=True)
        self.write_index(index)

    def write_index(self, index: DrawingsIndex) -> None:
        """Replace the index; raises as `begin`."""
        write_whole(self.folder / _INDEX, index.model_dump_json(indent=1).encode("utf-8"))

    def save(self, step: int, grid: bytes) -> None:
        """Keep a grid; every second one before it goes when there are too many.

        Raises:
            DiskFullError: No room.
        """
        write_whole(self._path(step), grid)
        steps = self.steps()
        if len(steps) > MOST:
            for dropped in steps[1:-1:2]:
                self._path(dropped).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.png"
