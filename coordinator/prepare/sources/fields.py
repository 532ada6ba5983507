"""Fields of a row's metadata, under their usual names: captions, URL, author, licence, opt-out.

Names are compared in lower case, with `-` and spaces as `_`. The same names apply to metadata files, JSON sidecars,
members of a tar and columns of a Parquet file.

Bytes that are not UTF-8 are read as lone surrogates (`errors="surrogateescape"`), as JSON's half characters are; a row
with one in a known field is dropped.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.rows.licences import UNKNOWN, normal_licence
from paris.coordinator.prepare.sources.policy import BAD_TEXT
from paris.coordinator.prepare.sources.settings import FilesSource

OPTED_OUT = "opted out of training"
_CAPTION = ("text", "caption", "texts", "captions")
_URL = ("url", "image_url", "source_url")
_AUTHOR = ("author", "artist", "creator", "photographer")
_LICENCE = ("licence", "license", "licence_url", "license_url")
_OPT_OUT = ("noai", "no_ai", "noimageai", "opt_out", "optout", "opted_out", "tdm_reservation")
_ROBOTS = ("x_robots_tag", "robots")
_DIRECTIVES = {"noai", "noimageai", "noindex", "noimageindex"}
"""The directives that img2dataset respects by default, for any user agent."""
_NO = {"", "0", "0.0", "false", "no", "n", "none", "null", "nan"}
ALL_NAMES = frozenset({*_CAPTION, *_URL, *_AUTHOR, *_LICENCE, *_OPT_OUT, *_ROBOTS})
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KINDS = (str, bytes, int, float, list, tuple, Mapping)
_MAX_NAMES = 30


@dataclass(frozen=True)
class Fields:
    """Metadata of a row; unknown fields are empty."""

    captions: tuple[str, ...] = ()
    caption_origin: str = ""
    url: str = ""
    author: str = ""
    licence: str = ""
    opt_out: str = ""
    """The statement against training on it."""
    fault: str = ""
    """Why the row cannot be used."""
    names: tuple[str, ...] = ()
    """The names of all fields, if none has a caption."""


def plain_name(name: str) -> str:
    """A column's name, normalised for comparison."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def text_encoding(start: bytes) -> tuple[str, str]:
    """Encoding and error handler of a text, by its first bytes: UTF-8, or UTF-16 with the mark that Windows writes."""
    is_utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return ("utf-16", "surrogatepass") if is_utf16 else ("utf-8-sig", "surrogateescape")


def parse_json(text: str) -> Any:
    """Parse JSON from a stranger.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_fields(raw: Mapping[str, Any], origin: str, caption_name: str | None = None) -> Fields:
    """Extract the known fields of a row's metadata.

    Args:
        raw: Names to values: texts, bytes of texts, numbers, lists of these; of a table, the names whose value is
            neither false nor empty. Of a list of captions, only texts are taken; a table is none.
        origin: The `caption_origin` of a caption in this metadata.
        caption_name: Name of the caption's field; None: a usual one.
    """
    known: dict[str, Any] = {}
    for name, value in raw.items():
        if isinstance(name, str) and isinstance(value, _KINDS):
            known.setdefault(plain_name(name), value)
    wanted = _CAPTION if caption_name is None else (plain_name(caption_name),)
    captions = next((found for name in wanted if (found := _captions(known.get(name)))), ())
    texts = {name: _text(_flat(value)) for name, value in known.items() if name in ALL_NAMES}
    texts |= {name: UNKNOWN for name in _LICENCE if isinstance(known.get(name), Mapping)}
    fields = Fields(
        captions=captions,
        caption_origin=origin if captions else "",
        url=_first(texts, _URL),
        author=_first(texts, _AUTHOR),
        licence=_first(texts, _LICENCE),
        opt_out=_opt_out(texts),
        names=() if captions else tuple(str(name) for name in raw)[:_MAX_NAMES],
    )
    used = (*captions, fields.url, fields.author, fields.licence, fields.opt_out)
    fault = next((_fault(text) for text in used if _SURROGATE.search(text)), "")
    return replace(fields, fault=fault)


def _fault(text: str) -> str:
    found = ord(_SURROGATE.search(text)[0])  # type: ignore[index]
    return f"not UTF-8: byte 0x{found - 0xDC00:02x}" if 0xDC80 <= found <= 0xDCFF else f"half a character: U+{found:X}"


def merged(parts: Iterable[Fields]) -> Fields:
    """Merge one row's metadata from several places: for each field the first non-empty value is taken."""
    result = Fields()
    for part in parts:
        has_caption = bool(result.captions)
        result = Fields(
            captions=result.captions or part.captions,
            caption_origin=result.caption_origin if has_caption else part.caption_origin,
            url=result.url or part.url,
            author=result.author or part.author,
            licence=result.licence or part.licence,
            opt_out=result.opt_out or part.opt_out,
            fault=result.fault or part.fault,
            names=(*result.names, *part.names),
        )
    return result


def to_item(row_id: str, location: str, version: str, fields: Fields, source: FilesSource) -> Item | Dropped:
    """The row as an item, with the source's author and licence as defaults; or as dropped, if it opts out or is bad."""
    if fields.opt_out:
        return Dropped(row_id, OPTED_OUT, fields.opt_out)
    if fields.fault:
        return Dropped(row_id, BAD_TEXT, fields.fault)
    return Item(
        row_id=row_id,
        location=location,
        caption=fields.captions[0] if fields.captions else "",
        source=source.name,
        url=fields.url,
        author=fields.author or source.author,
        licence=normal_licence(fields.licence or source.licence),
        caption_origin=fields.caption_origin,
        version=version,
        more_captions="\n".join(fields.captions[1:]),
        names_seen="" if fields.captions else ", ".join(dict.fromkeys(fields.names)),
    )


def _captions(value: Any) -> tuple[str, ...]:
    """The captions in a field, each once; of a list, only texts."""
    if value is None or isinstance(value, Mapping):
        return ()
    values = [text for text in value if isinstance(text, str | bytes)] if isinstance(value, list | tuple) else [value]
    return tuple(dict.fromkeys(text for text in map(_text, values) if text))


def _flat(value: Any) -> str | bytes | float:
    """A list or table as one text; a missed part of an opt-out or a licence would allow what is not allowed."""
    if isinstance(value, Mapping):
        value = [
            name for name, said in value.items() if isinstance(said, _KINDS) and _text(_flat(said)).lower() not in _NO
        ]
    if isinstance(value, list | tuple):
        return ", ".join(_text(_flat(part)) for part in value if isinstance(part, _KINDS))
    return value  # type: ignore[no-any-return]


def _text(value: str | bytes | float) -> str:
    """A value as one line: white space and control characters become single spaces."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return " ".join(_CONTROL.sub(" ", text).split())


def _first(known: dict[str, str], names: tuple[str, ...]) -> str:
    return next((known[name] for name in names if known.get(name)), "")


def _opt_out(known: dict[str, str]) -> str:
    for name in _OPT_OUT:
        if known.get(name, "").lower() not in _NO:
            return f"{name}: {known[name]}"
    for name in _ROBOTS:
        if not _DIRECTIVES.isdisjoint(re.split(r"[\s,:;]+", known.get(name, "").lower())):
            return f"{name}: {known[name]}"
    return ""
