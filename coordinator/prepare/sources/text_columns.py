"""Rows of Parquet batches, with texts that are not UTF-8 and numbers of the Hub's ClassLabel."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


def batch_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch; bytes of texts that are not UTF-8 become lone surrogates.

    A value that Python cannot hold, such as a time in the year 300,000, becomes None.
    """
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):  # pyarrow does not check texts as it reads them
        columns = [_texts(column) for column in batch.columns]
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _texts(column: pa.Array) -> list[Any]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        kind = pa.binary() if pa.types.is_string(column.type) else pa.large_binary()
        raw = column.cast(kind).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    values = []
    for place in range(len(column)):
        try:
            values.append(column[place].as_py())
        except UnicodeDecodeError:
            values.append("\udcff")  # a list of texts: some byte of it
        except (ValueError, OverflowError):  # a time out of range, a time zone that is not known here
            values.append(None)
    return values


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Columns of the Hub's ClassLabel, with the names of their numbers; empty without the Hub's metadata."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        labels = {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: names for name, names in labels.items() if name in schema.names and isinstance(names, list)}


def with_class_names(row: dict[str, Any], labels: dict[str, list[str]]) -> dict[str, Any]:
    """A row with the names of its classes in place of their numbers; -1, "no class", becomes None."""
    named = {
        column: str(names[row[column]]) if isinstance(row[column], int) and 0 <= row[column] < len(names) else None
        for column, names in labels.items()
        if column in row
    }
    return row | named
