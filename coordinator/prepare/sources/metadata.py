"""Metadata files in the Hub's imagefolder convention: one row a picture, with its path in `file_name`.

    metadata.csv       file_name,text[,url,author,licence,...]
    metadata.jsonl     {"file_name": "dog.png", "text": "a dog"}
    metadata.parquet   the same columns

`file_name` is relative to the metadata file. The other names are those of fields.py.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.errors import SourceFormatError
from paris.coordinator.prepare.sources.fields import Fields, read_fields
from paris.coordinator.prepare.sources.tree import Tree

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_BATCH_ROWS = 4096


def read_metadata(tree: Tree, path: str) -> Iterator[tuple[str, Fields]]:
    """The entries of one metadata file: the picture's path in the source, and its fields.

    Raises:
        SourceFormatError: It cannot be read, or an entry has no path inside the source; file and line are named.
    """
    read = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[posixpath.splitext(path)[1]]
    with tree.open(path) as file:
        for line, raw in read(path, file):
            yield _entry(path, line, raw)


def _entry(path: str, line: int, raw: Any) -> tuple[str, Fields]:
    if not isinstance(raw, dict) or not isinstance(raw.get("file_name"), str) or not raw["file_name"]:
        raise SourceFormatError(f"{path}, line {line}: no file_name.", "Each line names its picture in file_name.")
    picture = posixpath.normpath(posixpath.join(posixpath.dirname(path), raw["file_name"]))
    if picture.startswith(("../", "/")):
        raise SourceFormatError(f"{path}, line {line}: {raw['file_name']!r} is outside the folder.", "Move it inside.")
    return picture, read_fields(raw, "metadata")


def _csv_rows(path: str, file: BinaryIO) -> Iterator[tuple[int, Any]]:
    try:
        with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceFormatError(
            f"{path} is not readable CSV: {error}.", "Save it as UTF-8 CSV with a header."
        ) from error


def _jsonl_rows(path: str, file: BinaryIO) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with io.TextIOWrapper(file, "utf-8-sig") as text:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    yield number, json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SourceFormatError(
            f"{path}, line {number}: not JSON: {error}.", "Write one JSON object a line."
        ) from error


def _parquet_rows(path: str, file: BinaryIO) -> Iterator[tuple[int, Any]]:
    try:
        number = 0
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowException as error:
        raise SourceFormatError(f"{path} is not readable Parquet: {error}.", "Write it again.") from error
