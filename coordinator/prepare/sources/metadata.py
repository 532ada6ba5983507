"""Metadata files in the Hub's imagefolder convention: one row a picture, with its path in `file_name`.

    metadata.csv       file_name,text[,url,author,licence,...]
    metadata.jsonl     {"file_name": "dog.png", "text": "a dog"}
    metadata.parquet   the same columns

`file_name` (or `*_file_name`) is relative to the metadata file. The other names are those of fields.py. A line that
cannot be read is dropped, and the lines after it are read.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from paris.coordinator.prepare.errors import PrepareError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.fields import Fields, parse_json, read_fields, text_encoding
from paris.coordinator.prepare.sources.policy import BAD_TEXT, excluded
from paris.coordinator.prepare.sources.text_columns import batch_rows
from paris.coordinator.prepare.sources.tree import Tree
from paris.experts.data.shards import UNREADABLE_PARQUET

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BATCH_ROWS = 4096
Row = tuple[int, dict[str, Any] | str]
"""Line, and the row's fields or why it cannot be read."""


def read_metadata(tree: Tree, path: str, caption_name: str | None) -> Iterator[tuple[str, Fields] | Dropped]:
    """The entries of one metadata file: the picture's path in the source, and its fields.

    Args:
        tree: The source.
        path: The file.
        caption_name: Name of the caption's field; None: a usual one.

    Raises:
        SourceFormatError: A Parquet file is broken.
    """
    read = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[posixpath.splitext(path)[1]]
    with tree.open(path) as file:
        try:
            for line, raw in read(path, file):
                yield _entry(path, line, raw, caption_name)
        except UnicodeDecodeError as error:  # of UTF-16: bytes that are not UTF-8 are read as surrogates
            yield Dropped(path, BAD_TEXT, f"not UTF-16: {error.reason}")


def _entry(path: str, line: int, raw: dict[str, Any] | str, caption_name: str | None) -> tuple[str, Fields] | Dropped:
    row_id = f"{path}, line {line}"
    if isinstance(raw, str):
        return Dropped(row_id, BAD_TEXT, raw)
    name = next((raw[key] for key in sorted(map(str, raw), key=_of_file) if _of_file(key) < _OTHER), None)
    if not isinstance(name, str) or not name:
        return Dropped(row_id, BAD_TEXT, f"no file_name; its fields: {', '.join(map(str, raw))}")
    picture = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    if picture.startswith(("../", "/")):
        return Dropped(row_id, BAD_TEXT, f"file_name {name!r} is outside the folder")
    bad = excluded(picture)
    if bad is not None:
        return replace(bad, row_id=row_id, detail=name)
    fields = read_fields({key: raw[key] for key in raw if key != "file_name"}, "metadata", caption_name)
    return picture, replace(fields, fault=f"{row_id}: {fields.fault}" if fields.fault else "")


_OTHER = 2


def _of_file(key: str) -> int:
    """0 for `file_name`, 1 for `image_file_name` and the like, else `_OTHER`."""
    return 0 if key == "file_name" else 1 if key.endswith("_file_name") else _OTHER


def _text(file: BinaryIO, newline: str) -> io.TextIOWrapper:
    encoding, errors = text_encoding(file.read(2))
    file.seek(0)
    return io.TextIOWrapper(file, encoding, errors, newline=newline)


def _csv_rows(path: str, file: BinaryIO) -> Iterator[Row]:
    with _text(file, newline="") as text:
        reader = csv.DictReader(text)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:  # the next call goes on after this line
                yield reader.line_num, f"not CSV: {error}"
            else:
                yield reader.line_num, {name: value for name, value in row.items() if name is not None}


def _jsonl_rows(path: str, file: BinaryIO) -> Iterator[Row]:
    with _text(file, newline="\n") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                try:
                    raw = parse_json(line)
                except ValueError as error:
                    yield number, f"not JSON: {error}"
                else:
                    yield number, raw if isinstance(raw, dict) else "not a JSON object"


def _parquet_rows(path: str, file: BinaryIO) -> Iterator[Row]:
    try:
        number = 0
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
            for row in batch_rows(batch):
                number += 1
                yield number, row
    except PrepareError:  # the Hub does not answer
        raise
    except UNREADABLE_PARQUET as error:
        raise SourceFormatError(f"{path} is not readable Parquet: {error}.", "Write it again.") from error
