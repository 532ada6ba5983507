"""Parquet files with the pictures' bytes in a column: binary, or the Hub's struct {bytes, path}.

Only the other columns are read here, batch by batch; a row's bytes are later read by row group and place. They are read
by pyarrow, because Daft provides no row numbers by which a row could be found again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.errors import EmptySourceError, PrepareError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources.fields import ALL_NAMES, Fields, merged, plain_name, read_fields, to_item
from paris.coordinator.prepare.sources.metadata import METADATA
from paris.coordinator.prepare.sources.policy import NOT_A_TABLE
from paris.coordinator.prepare.sources.settings import HubSource, ParquetSource
from paris.coordinator.prepare.sources.text_columns import batch_rows, class_names, with_class_names
from paris.coordinator.prepare.sources.tree import SourceFile, Tree, row_location
from paris.experts.data.shards import UNREADABLE_PARQUET

_BATCH_ROWS = 4096


def is_table(path: str) -> bool:
    """Whether a file is a Parquet file of rows, not an imagefolder's metadata."""
    return path.lower().endswith(".parquet") and posixpath.basename(path) not in METADATA


def read_tables(tree: Tree, source: ParquetSource | HubSource) -> Iterator[Item | Dropped]:
    """List the rows of all Parquet files of a source, file by file, in their order.

    Raises:
        EmptySourceError: There is no Parquet file.
        SourceFormatError: A file cannot be read, or has no column of pictures; the file and its columns are named.
    """
    tables = []
    for file in tree.files():
        if isinstance(file, Dropped):
            yield file
        elif is_table(file.path):
            tables.append(file)
        else:
            yield Dropped(file.path, NOT_A_TABLE)
    tables.sort(key=lambda table: table.path)
    if not tables:
        raise EmptySourceError(f"{tree.name} contains no Parquet file.", "Check the source's path and its include.")
    for file in tables:
        try:
            with tree.open(file.path) as stream:
                yield from _rows(tree, file, stream, source)
        except PrepareError:  # the Hub does not answer, which is a ConnectionError and so an OSError
            raise
        except UNREADABLE_PARQUET as error:
            raise SourceFormatError(
                f"The Parquet file {file.path} cannot be read: {error}.", "Fetch or write it again."
            ) from error


def _rows(
    tree: Tree, file: SourceFile, stream: BinaryIO, source: ParquetSource | HubSource
) -> Iterator[Item | Dropped]:
    parquet = pq.ParquetFile(stream)
    schema = parquet.schema_arrow
    image = _image_column(schema, file.path, source.image_column)
    _check_caption_column(schema, file.path, source.caption_column)
    labels = class_names(schema)
    wanted = {plain_name(source.caption_column)} if source.caption_column else set()
    wanted |= set(map(plain_name, labels)) if source.class_captions else set()
    columns = [name for name in schema.names if plain_name(name) in ALL_NAMES | wanted and name != image]
    whole = tree.location(file.path)
    number = 0
    for group in range(parquet.num_row_groups):
        row = 0
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
            for raw in batch_rows(batch):
                fields = merged(_metadata_of(with_class_names(raw, labels), labels, source))
                fields = replace(fields, names=tuple(schema.names)) if not fields.captions else fields
                location = row_location(whole, group, row, image)
                yield to_item(f"{file.path}/{number}", location, file.version, fields, source)
                row, number = row + 1, number + 1


def _metadata_of(
    row: dict[str, Any], labels: dict[str, list[str]], source: ParquetSource | HubSource
) -> Iterator[Fields]:
    yield read_fields(row, "column", source.caption_column)
    if source.class_captions:
        yield from (read_fields({"text": row[name]}, "class") for name in labels if row.get(name))


def _image_column(schema: pa.Schema, path: str, asked: str | None) -> str:
    """The column with the bytes."""
    found = [field.name for field in schema if _holds_bytes(field.type)]
    name = asked or (found[0] if len(found) == 1 else "image")
    if name not in found or ":" in name:
        raise SourceFormatError(
            f"The Parquet file {path} has no column {name!r} with pictures; its columns: {', '.join(schema.names)}.",
            "Set image_column in [data.source] to a column of bytes, or of structs with a field bytes.",
        )
    return name


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return bool(index >= 0 and _holds_bytes(kind.field(index).type))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _check_caption_column(schema: pa.Schema, path: str, asked: str | None) -> None:
    if asked is not None and asked not in schema.names:
        raise SourceFormatError(
            f"The Parquet file {path} has no column {asked!r}; its columns: {', '.join(schema.names)}.",
            "Set caption_column in [data.source] to the column with the captions.",
        )
