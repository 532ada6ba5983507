"""What a file's page shows of its bytes, by the ending of its name; a bounded part of them is read."""

from __future__ import annotations

import codecs
import posixpath
from dataclasses import dataclass, replace
from typing import Any

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.pages.cards import markdown
from paris.coordinator.hub.pages.links import Links, media_type
from paris.coordinator.hub.pages.parquet_preview import Previews
from paris.coordinator.hub.pages.rendering import size_text
from paris.coordinator.hub.pages.tensor_header import read_header
from paris.coordinator.hub.repositories.cards import split_card
from paris.coordinator.hub.storage.trees import FileEntry

_MAX_TEXT_BYTES = 256 * 1024
_MAX_PICTURE_BYTES = 32 * 1024**2
_TENSORS_SHOWN = 200
_previews = Previews()


@dataclass(frozen=True)
class Shown:
    """What is shown of a file.

    Args:
        kind: Block of `file.html`: text, markdown, picture, safetensors, parquet or nothing.
        values: What the block shows.
        note: What is left out, or why nothing is shown.
    """

    kind: str
    values: dict[str, Any]
    note: str = ""


def shown_contents(call: Call, path: str, entry: FileEntry, links: Links) -> Shown:
    """What the page of a file shows.

    Args:
        call: The request; `cursor` is the first tensor of a long header.
        path: Of the file in the repository.
        entry: Its size and content.
        links: Of its revision.
    """
    ending = posixpath.splitext(path)[1].lower()
    if media_type(path):
        if entry.size > _MAX_PICTURE_BYTES:
            return Shown("nothing", {}, f"Pictures above {size_text(_MAX_PICTURE_BYTES)} are not shown.")
        return Shown("picture", {"source": links.at("resolve", path)})
    if ending == ".safetensors":
        return _header(call, entry)
    if ending == ".parquet":
        return _parquet(call, entry)
    return _text(call, entry, replace(links, folder=posixpath.dirname(path)) if ending == ".md" else None)


def _header(call: Call, entry: FileEntry) -> Shown:
    try:
        header = read_header(call.hub.blobs.path(entry.sha256))
    except ValueError as error:
        return Shown("nothing", {}, f"The file cannot be shown: {error}.")
    start, size = call.window(_TENSORS_SHOWN)
    following = start + size if start + size < len(header.tensors) else None
    tensors = header.tensors[start : start + size]
    return Shown("safetensors", {"header": header, "tensors": tensors, "start": start, "following": following})


def _parquet(call: Call, entry: FileEntry) -> Shown:
    preview = _previews.of(entry.sha256, call.hub.blobs.path(entry.sha256))
    if not preview.columns:
        return Shown("nothing", {}, f"The file cannot be shown: {preview.problem}")
    note = f"Its rows cannot be shown: {preview.problem}" if preview.problem else ""
    return Shown("parquet", {"preview": preview}, note)


def _text(call: Call, entry: FileEntry, links: Links | None) -> Shown:
    with call.hub.blobs.path(entry.sha256).open("rb") as file:
        data = file.read(_MAX_TEXT_BYTES)
    is_cut = len(data) < entry.size
    text = _decoded(data, is_cut=is_cut)
    if text is None:
        return Shown("nothing", {}, "The file is no text.")
    note = f"The first {size_text(len(data))} of {size_text(entry.size)}." if is_cut else ""
    if links is not None:
        return Shown("markdown", {"html": markdown(split_card(text)[1], links)}, note)
    return Shown("text", {"text": text, "num_lines": text.count("\n") + (not text.endswith("\n"))}, note)


def _decoded(data: bytes, *, is_cut: bool) -> str | None:
    """The text of a file's first bytes, of which a cut may end within a character; None for what is no text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=not is_cut)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
