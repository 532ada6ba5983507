"""The child process that draws a grid of samples: python -m paris.coordinator.training.grids RUN REQUEST.

Each row is drawn by one expert alone, from its last verified weights. A row that was drawn before is taken from its
strip. The process lets all others of the machine go first.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from paris.coordinator.console import fail_worker
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.grids import FOLDER, Grid, GridRow, grid_file, grid_times, write_grid
from paris.coordinator.service.grids import strip_source
from paris.experts.files import whole_file
from paris.experts.frozen.codec import Codec, CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig, TextEncoder
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.pipeline.drawing import encode_prompts
from paris.experts.sampling.experts import Ensemble, ExpertMap
from paris.experts.sampling.sample import sample
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.weights.checkpoint import load_weights

_CELL_PX, _GAP_PX = 96, 4
_NICENESS = 15
_EMPTY = (224, 227, 232)


def draw_grid(run: RunDir, grid: Grid) -> None:
    """Draw the strips that are missing, put all together, and drop the strips that no row shows any more.

    Args:
        run: A prepared run directory.
        grid: What to draw.

    Raises:
        CheckpointError: Verified weights cannot be read.
        DiskFullError: No space; earlier grids are unchanged.
    """
    torch.set_num_threads(run.config.compute.num_threads or torch.get_num_threads())
    folder = run.path / FOLDER / "strips"
    folder.mkdir(parents=True, exist_ok=True)
    _draw_missing(run, grid, folder)
    files = [_strip(folder, grid, row) if row.lease_id else None for row in grid.rows]
    strips = [None if file is None else Image.open(file) for file in files]
    now = max(int(time.time()), *(at + 1 for at in grid_times(run.path)[-1:]), 0)
    _save(_stacked(strips, len(grid.seeds)), grid_file(run.path, now))
    write_grid(run.path, now, grid)
    for file in folder.glob("*.png"):
        if file not in files:
            file.unlink()


def _draw_missing(run: RunDir, grid: Grid, folder: Path) -> None:
    missing = [row for row in grid.rows if row.lease_id and not _strip(folder, grid, row).is_file()]
    if not missing:
        return
    spec, device = make_spec(run, []), run.config.compute.device
    text, codec = TextConfig.from_settings(spec.text), CodecConfig.from_settings(spec.codec)
    parts = load_text_encoder(text, run.data, device), load_codec(codec, run.data, device)
    settings = SamplingSettings.from_settings(grid.settings)
    for row in missing:
        pictures = _pictures(run, grid, row, parts, settings)
        _save(_in_a_row([_cell(picture) for picture in pictures]), _strip(folder, grid, row))


def _pictures(
    run: RunDir, grid: Grid, row: GridRow, parts: tuple[TextEncoder, Codec], settings: SamplingSettings
) -> np.ndarray:
    """An expert's pictures, uint8 `[N, H, W, 3]`."""
    (encoder, codec), device = parts, run.config.compute.device
    model = DiTExpert(ModelConfig.from_settings(row.model))
    load_weights(strip_source(run, row.lease_id or ""), model)
    model.to(device).eval().requires_grad_(False)
    ensemble = Ensemble(ExpertMap([as_velocity(model, Objective.from_settings(row.objective))]))
    prompts = encode_prompts(encoder, None, grid.prompts, is_guided=settings.guidance.is_on, device=device)
    return codec.decode(sample(ensemble, prompts, grid.seeds, settings))


def _strip(folder: Path, grid: Grid, row: GridRow) -> Path:
    return folder / f"{row.lease_id}-{grid.columns}.png"


def _in_a_row(cells: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", _size(len(cells), 1), "white")
    for column, cell in enumerate(cells):
        sheet.paste(cell, (column * (_CELL_PX + _GAP_PX), 0))
    return sheet


def _stacked(strips: Sequence[Image.Image | None], columns: int) -> Image.Image:
    """All rows; one of grey cells for an expert without verified work."""
    sheet = Image.new("RGB", _size(columns, len(strips)), "white")
    empty = _in_a_row([Image.new("RGB", (_CELL_PX, _CELL_PX), _EMPTY)] * columns)
    for place, strip in enumerate(strips):
        sheet.paste(strip or empty, (0, place * (_CELL_PX + _GAP_PX)))
    return sheet


def _size(columns: int, rows: int) -> tuple[int, int]:
    return columns * (_CELL_PX + _GAP_PX) - _GAP_PX, rows * (_CELL_PX + _GAP_PX) - _GAP_PX


def _cell(pixels: np.ndarray) -> Image.Image:
    """A picture, uint8 `[H, W, 3]`, in the size of a cell."""
    picture = Image.fromarray(pixels)
    how = Image.Resampling.NEAREST if picture.width < _CELL_PX else Image.Resampling.LANCZOS
    return picture.resize((_CELL_PX, _CELL_PX), how)


def _save(picture: Image.Image, path: Path) -> None:
    with whole_file(path) as partial:
        picture.save(partial, format="PNG")


def _main(run: str, request: str) -> None:
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    draw_grid(RunDir.open(Path(run)), Grid.model_validate_json(Path(request).read_bytes()))


if __name__ == "__main__":
    fail_worker(lambda: _main(*sys.argv[1:3]))
