"""Samples as one picture to look at: a row a digit, a block a way of sampling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.digits.data import NAMES, SIZE, as_gray
from paris.experts.files import whole_file

_ZOOM, _GAP, _TITLE = 3, 6, 14
_COLUMNS = 8


def save_grid(path: Path, blocks: Sequence[tuple[str, np.ndarray]]) -> None:
    """Draw the first eight samples of each digit, dark on light.

    Args:
        path: PNG to make or replace.
        blocks: Title, and pictures in the order of `prompts_for`, 80 at least: picture i shows digit i modulo 10.
    """
    cell = SIZE * _ZOOM
    width, height = _COLUMNS * cell + _GAP, len(NAMES) * cell + _TITLE
    sheet = Image.new("L", (width * len(blocks), height), 255)
    pen = ImageDraw.Draw(sheet)
    for number, (title, pictures) in enumerate(blocks):
        some = as_gray(pictures[: len(NAMES) * _COLUMNS])
        rows = some.reshape(_COLUMNS, len(NAMES), SIZE, SIZE).transpose(1, 2, 0, 3).reshape(len(NAMES) * SIZE, -1)
        block = Image.fromarray((255 - rows * 255).round().astype(np.uint8))
        sheet.paste(block.resize((block.width * _ZOOM, block.height * _ZOOM), Image.NEAREST), (number * width, _TITLE))
        pen.text((number * width + 2, 1), title, fill=0)
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG", optimize=True)
