"""Samples as one picture to look at: a block a way of sampling, a column a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.small.pictures import unit_pixels
from paris.experts.files import whole_file

_ZOOM, _GAP, _TITLE = 3, 8, 14
_COLUMNS, _ROWS = 16, 3


def save_grid(path: Path, blocks: Sequence[tuple[str, np.ndarray]]) -> None:
    """Draw the first 48 pictures of each block, three rows of 16.

    Args:
        path: PNG to make or replace.
        blocks: Title, and pictures as `unit_pixels` takes them; the same place in two blocks has the same prompt and
            the same noise.
    """
    side = blocks[0][1].shape[1]
    width, height = _COLUMNS * side * _ZOOM, _ROWS * side * _ZOOM
    sheet = Image.new("RGB", (width, len(blocks) * (height + _TITLE + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (title, pictures) in enumerate(blocks):
        cells = np.zeros((_ROWS * _COLUMNS, side, side, 3), np.float32)
        some = unit_pixels(pictures[: len(cells)])
        cells[: len(some)] = some
        rows = cells.reshape(_ROWS, _COLUMNS, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(_ROWS * side, -1, 3)
        block = Image.fromarray((rows * 255).round().astype(np.uint8))
        top = number * (height + _TITLE + _GAP)
        pen.text((2, top + 1), title, fill="black")
        sheet.paste(block.resize((width, height), Image.Resampling.NEAREST), (0, top + _TITLE))
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG", optimize=True)
