"""A picture in a terminal: two pixels a character, the upper half block in one colour on the other."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, cast

from paris.node.hub.client import Hub
from paris.protocol.errors import ParisError

if TYPE_CHECKING:
    from PIL import Image
    from rich.color import Color
    from rich.text import Text

_FILES = ("samples.png", "pictures/samples.png")
"""Of the model repo, once the run has drawn some."""
_MAX_BYTES = 4 * 2**20
_MAX_PIXELS = 4096 * 4096
_COLUMNS, _ROWS = 60, 24
"""Of the terminal, at most."""


def fetch_samples(hub: Hub, repo: str) -> bytes | None:
    """The picture of the run's samples; None while there is none, or where the Hub does not give it."""
    for path in _FILES:
        with contextlib.suppress(ParisError, OSError):
            return hub.read_small(hub.url(repo, path, repo_type="model", revision="main"), _MAX_BYTES)
    return None


def half_blocks(data: bytes, columns: int) -> Text | None:
    """A PNG as coloured characters.

    Args:
        data: The file's bytes; they come from the run.
        columns: Of the terminal.

    Returns:
        None where it is no PNG, or a very large one.
    """
    from PIL import Image
    from rich.style import Style
    from rich.text import Text

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if image.width * image.height > _MAX_PIXELS:
                    return None
                shown = image.convert("RGB")
    except Exception:  # Pillow's decoders raise anything on damaged bytes
        return None
    shown.thumbnail((max(1, min(columns, _COLUMNS)), 2 * _ROWS))
    drawn = Text()
    for row in range(0, shown.height - 1, 2):
        for column in range(shown.width):
            upper, lower = (_colour(shown, column, row + below) for below in (0, 1))
            drawn.append("\u2580", Style(color=upper, bgcolor=lower))
        drawn.append("\n")
    return drawn


def _colour(picture: Image.Image, column: int, row: int) -> Color:
    from rich.color import Color

    red, green, blue = cast(tuple[int, int, int], picture.getpixel((column, row)))
    return Color.from_rgb(red, green, blue)
