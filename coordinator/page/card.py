"""The picture that other sites show beside a link to the public page: how far the run is, and its newest samples."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from paris.protocol.counted import counted
from paris.protocol.printable import on_one_line

WIDTH_PX, HEIGHT_PX = 1200, 630
_MARGIN_PX, _SAMPLES_PX = 64, 430
_GROUND, _INK, _DIM, _LINE, _ACCENT = "#fbfaf8", "#1d2330", "#596273", "#dcdfe5", "#2a6fdb"


@dataclass(frozen=True)
class CardFacts:
    """What the picture says."""

    title: str
    """The run's name."""
    what: str
    """What it makes; may be empty."""
    registered: int
    num_tasks: int
    percent: int
    """Of all steps, verified."""
    samples: Path | None
    """The newest picture of samples."""
    samples_at: int = 0
    """When that file was written, nanoseconds: another picture may come to the same path."""


class Cards:
    """Draws the picture when its facts change; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drawn: tuple[CardFacts, bytes] | None = None

    def png(self, facts: CardFacts) -> bytes:
        """The picture, 1200 by 630 pixels, as PNG."""
        with self._lock:
            if self._drawn is None or self._drawn[0] != facts:
                self._drawn = facts, _draw(facts)
            return self._drawn[1]


def _draw(facts: CardFacts) -> bytes:
    card = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), _GROUND)
    pen = ImageDraw.Draw(card)
    samples = _samples(facts.samples)
    right = WIDTH_PX - _MARGIN_PX - (0 if samples is None else _SAMPLES_PX + _MARGIN_PX)
    if samples is not None:
        card.paste(samples, (WIDTH_PX - _MARGIN_PX - samples.width, (HEIGHT_PX - samples.height) // 2))
    width = right - _MARGIN_PX
    _write(pen, 110, facts.title, 64, _INK, width)
    _write(pen, 200, facts.what or "Strangers train this model together", 34, _DIM, width)
    pen.rounded_rectangle((_MARGIN_PX, 330, right, 362), 16, fill=_LINE)
    if filled := round(width * facts.percent / 100):
        pen.rounded_rectangle((_MARGIN_PX, 330, _MARGIN_PX + max(32, filled), 362), 16, fill=_ACCENT)
    experts = f"{facts.registered} of {counted(facts.num_tasks, 'expert')}"
    _write(pen, 390, f"{experts}, {facts.percent}% of all steps", 34, _INK, width)
    done = 0 < facts.num_tasks == facts.registered
    _write(pen, 520, "All experts are trained." if done else "Join with one command.", 34, _DIM, width)
    found = io.BytesIO()
    card.save(found, format="PNG")
    return found.getvalue()


def _write(pen: ImageDraw.ImageDraw, y: int, text: str, size_px: int, colour: str, width_px: int) -> None:
    """Write a line, cut where it is too long."""
    font, shown = ImageFont.load_default(size_px), on_one_line(text)[:200]
    if pen.textlength(shown, font) > width_px:
        while shown and pen.textlength(f"{shown}...", font) > width_px:
            shown = shown[:-1]
        shown = f"{shown}..."
    pen.text((_MARGIN_PX, y), shown, colour, font)


def _samples(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            shown = picture.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    shown.thumbnail((_SAMPLES_PX, HEIGHT_PX - 2 * _MARGIN_PX))
    return shown
