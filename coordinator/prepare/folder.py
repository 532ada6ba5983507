"""A folder of pictures as a source, in the Hub's "imagefolder" convention or with sidecar texts.

    pictures/dog.png   pictures/dog.txt                     the caption beside the picture
    pictures/metadata.csv     file_name,text[,url,author,licence]
    pictures/metadata.jsonl   {"file_name": "dog.png", "text": "a dog"}

`file_name` is relative to the metadata file; "caption" may stand for "text" and "license" for "licence". Where a
picture has both, the metadata holds. Pictures without a caption are counted and left out.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paris.coordinator.prepare.config import FolderSource
from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError, SourceMissingError
from paris.coordinator.prepare.items import Item
from paris.coordinator.prepare.pictures import MISSING, NO_CAPTION

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_MAX_SIDECAR_BYTES = 65536


def read_folder(source: FolderSource) -> tuple[list[Item], Counter[str]]:
    """List the folder's captioned pictures.

    Returns:
        The items, and how many pictures were left out, by reason.

    Raises:
        SourceMissingError: There is no such folder.
        EmptySourceError: It holds no picture, or none has a caption.
        SourceFormatError: A caption or metadata file cannot be read; the file and line are named.
    """
    root = source.path.expanduser().resolve()
    if not root.is_dir():
        raise SourceMissingError(f"There is no folder {source.path}.", "Check the source's path.")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    pictures = [path for path in files if path.suffix.lower() in _PICTURES]
    if not pictures:
        raise EmptySourceError(
            f"The folder {source.path} holds no picture.", f"Known are {', '.join(sorted(_PICTURES))}."
        )
    metadata = _metadata(root, files)
    dropped: Counter[str] = Counter()
    dropped[MISSING] = sum(not path.is_file() for path in metadata)
    items = []
    for path in pictures:
        entry = metadata.get(path) or _sidecar(path)
        if entry is None:
            dropped[NO_CAPTION] += 1
        else:
            items.append(_item(path, root, source, *entry))
    if not items:
        raise EmptySourceError(
            f"None of the {len(pictures)} pictures in {source.path} has a caption.",
            "Put a .txt file beside each, or a metadata.csv with the columns file_name and text.",
        )
    return items, +dropped


def _item(path: Path, root: Path, source: FolderSource, fields: dict[str, str], origin: str) -> Item:
    state = path.stat()
    return Item(
        row_id=path.relative_to(root).as_posix(),
        location=f"file://{path}",
        caption=" ".join(fields["text"].split()),
        source=source.name,
        url=fields.get("url", ""),
        author=fields.get("author", source.author),
        licence=fields.get("licence", source.licence),
        caption_origin=origin,
        version=f"{state.st_size}:{state.st_mtime_ns}",
    )


def _sidecar(picture: Path) -> tuple[dict[str, str], str] | None:
    path = picture.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MAX_SIDECAR_BYTES)
    except UnicodeDecodeError as error:
        raise SourceFormatError(
            f"The caption {path} is not UTF-8 text: {error.reason}.", "Save it as UTF-8."
        ) from error
    return ({"text": text}, "sidecar") if text.strip() else None


def _metadata(root: Path, files: list[Path]) -> dict[Path, tuple[dict[str, str], str]]:
    """All metadata files' captioned entries, by the picture's path."""
    found = {}
    for path in files:
        if path.name not in ("metadata.csv", "metadata.jsonl"):
            continue
        for line, raw in _csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path):
            picture, fields = _entry(path, line, raw, root)
            if fields["text"].strip():
                found[picture] = (fields, "metadata")
    return found


def _entry(path: Path, line: int, raw: Any, root: Path) -> tuple[Path, dict[str, str]]:
    if not isinstance(raw, dict) or not raw.get("file_name"):
        raise SourceFormatError(f"{path}, line {line}: no file_name.", "Each line names its picture in file_name.")
    fields = {name: str(value) for name, value in raw.items() if value is not None and name is not None}
    picture = (path.parent / fields["file_name"]).resolve()
    if not picture.is_relative_to(root):
        raise SourceFormatError(
            f"{path}, line {line}: {fields['file_name']!r} lies outside the folder.", "Move it inside."
        )
    text = fields.get("text", fields.get("caption", ""))
    known = {
        "url": fields.get("url"),
        "author": fields.get("author"),
        "licence": fields.get("licence", fields.get("license")),
    }
    return picture, {"text": text, **{name: value for name, value in known.items() if value}}


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceFormatError(
            f"{path} is not readable CSV: {error}.", "Save it as UTF-8 CSV with a header."
        ) from error


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SourceFormatError(
            f"{path}, line {number}: not JSON: {error}.", "Write one JSON object a line."
        ) from error
