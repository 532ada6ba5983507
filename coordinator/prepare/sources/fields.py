"""Fields of a row's metadata, under their usual names: caption, URL, author, licence, opt-out.

Names are compared in lower case, with `-` and spaces as `_`. The same names apply to metadata files, JSON sidecars,
members of a tar and columns of a Parquet file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.rows.licences import normal_licence
from paris.coordinator.prepare.sources.settings import FilesSource

OPTED_OUT = "opted out of training"
_CAPTION = ("text", "caption")
_URL = ("url", "image_url", "source_url")
_AUTHOR = ("author", "artist", "creator", "photographer")
_LICENCE = ("licence", "license", "licence_url", "license_url")
_OPT_OUT = ("noai", "no_ai", "noimageai", "opt_out", "optout", "opted_out", "tdm_reservation")
_ROBOTS = ("x_robots_tag", "robots")
_DIRECTIVES = {"noai", "noimageai", "noindex", "noimageindex"}
"""The directives that img2dataset respects by default, for any user agent."""
_NO = {"", "0", "0.0", "false", "no", "n", "none", "null", "nan"}
ALL_NAMES = frozenset({*_CAPTION, *_URL, *_AUTHOR, *_LICENCE, *_OPT_OUT, *_ROBOTS})


@dataclass(frozen=True)
class Fields:
    """Metadata of a row; unknown fields are empty."""

    caption: str = ""
    caption_origin: str = ""
    url: str = ""
    author: str = ""
    licence: str = ""
    opt_out: str = ""
    """The statement against training on it."""


def plain_name(name: str) -> str:
    """A column's name, normalised for comparison."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def read_fields(raw: Mapping[str, Any], origin: str, caption_name: str | None = None) -> Fields:
    """Extract the known fields of a row's metadata.

    Args:
        raw: Names to values; values other than text and numbers are ignored.
        origin: The `caption_origin` of a caption in this metadata.
        caption_name: Name of the caption's field; None: a usual one.
    """
    known: dict[str, str] = {}
    for name, value in raw.items():
        if name is not None and isinstance(value, str | int | float):
            known.setdefault(plain_name(name), " ".join(str(value).split()))
    caption = _first(known, _CAPTION if caption_name is None else (plain_name(caption_name),))
    return Fields(
        caption=caption,
        caption_origin=origin if caption else "",
        url=_first(known, _URL),
        author=_first(known, _AUTHOR),
        licence=_first(known, _LICENCE),
        opt_out=_opt_out(known),
    )


def merged(parts: Iterable[Fields]) -> Fields:
    """Merge one row's metadata from several places: for each field the first non-empty value is taken."""
    result = Fields()
    for part in parts:
        has_caption = bool(result.caption)
        result = Fields(
            caption=result.caption or part.caption,
            caption_origin=result.caption_origin if has_caption else part.caption_origin,
            url=result.url or part.url,
            author=result.author or part.author,
            licence=result.licence or part.licence,
            opt_out=result.opt_out or part.opt_out,
        )
    return result


def to_item(row_id: str, location: str, version: str, fields: Fields, source: FilesSource) -> Item | Dropped:
    """The row as an item, with the source's author and licence as defaults; or as dropped, if it opts out."""
    if fields.opt_out:
        return Dropped(row_id, OPTED_OUT, fields.opt_out)
    return Item(
        row_id=row_id,
        location=location,
        caption=fields.caption,
        source=source.name,
        url=fields.url,
        author=fields.author or source.author,
        licence=normal_licence(fields.licence or source.licence),
        caption_origin=fields.caption_origin,
        version=version,
    )


def _first(known: dict[str, str], names: tuple[str, ...]) -> str:
    return next((known[name] for name in names if known.get(name)), "")


def _opt_out(known: dict[str, str]) -> str:
    for name in _OPT_OUT:
        if known.get(name, "").lower() not in _NO:
            return f"{name}: {known[name]}"
    for name in _ROBOTS:
        directives = known.get(name, "").lower().replace(":", ",").replace(";", ",")
        if _DIRECTIVES & {part.strip() for part in directives.split(",")}:
            return f"{name}: {known[name]}"
    return ""
