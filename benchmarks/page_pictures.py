"""Pictures of the page in Chromium, for the documents and for whoever changes it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks.browser import Browser


class _Picture(NamedTuple):
    name: str
    path: str
    width_px: int = 1200
    height_px: int = 760
    dark: bool = False


_PICTURES = (
    _Picture("page-board", ""),
    _Picture("page-board-dark", "", dark=True),
    _Picture("page-board-phone", "", 390, 780, dark=True),
    _Picture("page-task", "/task?task=expert-1"),
    _Picture("page-losses", "/losses"),
    _Picture("page-volunteers", "/volunteers"),
    _Picture("page-verdicts", "/verdicts"),
    _Picture("page-events", "/events"),
    _Picture("page-leaderboard", "/leaderboard", dark=True),
    _Picture("page-skill", "/skill", height_px=900),
    _Picture("page-clusters", "/clusters"),
    _Picture("page-history", "/at"),
    _Picture("page-order", "/order?kind=ban&subject=ada"),
    _Picture("page-public", "/public", height_px=900),
    _Picture("page-public-phone", "/public", 390, 780),
)


def take_pictures(url: str, folder: Path, only: list[str]) -> None:
    """Write a PNG of each page.

    Args:
        url: Of the page, as the server prints it.
        folder: Where to; made if missing.
        only: Names of the pictures to take; empty: all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for picture in _PICTURES:
            if only and picture.name not in only:
                continue
            browser.resize(picture.width_px, picture.height_px, phone=picture.width_px < 500)
            browser.set_dark(picture.dark)
            browser.open(url + picture.path)
            browser.wait_for(
                "!document.body.dataset.stream || document.getElementById('connection').textContent === 'live'"
            )
            browser.screenshot(folder / f"{picture.name}.png")
            shrink(folder / f"{picture.name}.png")
        if browser.problems:
            raise RuntimeError(f"The browser found problems: {browser.problems}")


def shrink(path: Path) -> None:
    """Keep the colours that a page has; a third of the bytes is left."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(255, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
