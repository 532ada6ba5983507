"""clusters.png: one panel a cluster, with a captioned grid of its most typical pictures."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from paris.coordinator.prepare.clustering.plan import Plan
from paris.coordinator.prepare.showing.examples import Examples
from paris.experts.files import whole_file

_PICTURE_PX = 96
_CELL_WIDTH_PX = 118
_CELL_HEIGHT_PX = 138
_TITLE_PX = 74
_MARGIN_PX = 24
_CAPTION_LINES = 2
_CAPTION_CHARS = 17
_COLUMNS = 7
_INK, _FAINT, _RULE, _GROUND, _PAGE = "#1c1c1e", "#6b6b70", "#d9d9de", "#ffffff", "#f2f2f5"


@dataclass(frozen=True)
class Panel:
    """Contents of one cluster's panel."""

    title: str
    words: str
    pictures: list[np.ndarray]
    """uint8 `[3, H, W]` each."""
    captions: list[str]


def make_panels(examples: list[Examples], plan: Plan, words: list[list[str]]) -> list[Panel]:
    """Panels with the most typical training pictures of each cluster.

    Args:
        examples: Example pictures of each cluster.
        plan: The clusters.
        words: Frequent words of each cluster.
    """
    return [
        Panel(
            title=f"Cluster {part.cluster}: {len(part.training)} pictures",
            words=", ".join(words[part.cluster]),
            pictures=[example.pixels for example in shown.nearest],
            captions=[example.caption for example in shown.nearest],
        )
        for part, shown in zip(plan.clusters, examples, strict=True)
    ]


def draw_panels(panels: list[Panel], path: Path) -> None:
    """Draw the panels side by side, two a row.

    Args:
        panels: One a cluster, each with at least one picture.
        path: The PNG to write.

    Raises:
        DiskFullError: No room; `path` is unchanged.
    """
    per_row = 1 if len(panels) == 1 else 2
    rows = max(math.ceil(len(panel.pictures) / _COLUMNS) for panel in panels)
    width = _COLUMNS * _CELL_WIDTH_PX + 2 * _MARGIN_PX
    height = _TITLE_PX + rows * _CELL_HEIGHT_PX + _MARGIN_PX
    page_rows = math.ceil(len(panels) / per_row)
    page = Image.new(
        "RGB", (per_row * (width + _MARGIN_PX) + _MARGIN_PX, page_rows * (height + _MARGIN_PX) + _MARGIN_PX), _PAGE
    )
    draw = ImageDraw.Draw(page)
    for number, panel in enumerate(panels):
        left = _MARGIN_PX + (number % per_row) * (width + _MARGIN_PX)
        top = _MARGIN_PX + (number // per_row) * (height + _MARGIN_PX)
        draw.rounded_rectangle((left, top, left + width, top + height), 14, _GROUND, _RULE)
        _draw_panel(page, draw, panel, left + _MARGIN_PX, top)
    with whole_file(path) as partial:
        page.save(partial, format="PNG", optimize=False, compress_level=6)


def _draw_panel(page: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    draw.text((left, top + 16), panel.title, _INK, _font(22))
    draw.text((left, top + 46), panel.words, _FAINT, _font(14))
    font = _font(11)
    for number, (picture, caption) in enumerate(zip(panel.pictures, panel.captions, strict=True)):
        x = left + (number % _COLUMNS) * _CELL_WIDTH_PX
        y = top + _TITLE_PX + (number // _COLUMNS) * _CELL_HEIGHT_PX
        how = Image.Resampling.NEAREST if picture.shape[1] <= _PICTURE_PX else Image.Resampling.LANCZOS
        shown = Image.fromarray(picture.transpose(1, 2, 0)).resize((_PICTURE_PX, _PICTURE_PX), how)
        page.paste(shown, (x + (_CELL_WIDTH_PX - _PICTURE_PX) // 2, y))
        for line, text in enumerate(_wrapped(caption)):
            draw.text((x + _CELL_WIDTH_PX // 2, y + _PICTURE_PX + 4 + 14 * line), text, _FAINT, font, anchor="ma")


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from Matplotlib: captions use many alphabets, of which Pillow's own font has one."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size_px)


def _wrapped(caption: str) -> list[str]:
    return textwrap.wrap(caption, _CAPTION_CHARS, max_lines=_CAPTION_LINES, placeholder="...")
