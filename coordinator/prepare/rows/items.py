"""The table of a source's rows, before any picture is opened: one row a picture, in the order of the source.

    items.arrow    index, row_id, location, caption, source, url, author, licence, caption_origin, role, version,
                   more_captions

One uncompressed, memory-mapped Arrow file, so that eleven million rows take disk and address space but no memory, and
the rows of any shard can be read. `version` is the size and modification time of the file; it only decides whether an
interrupted preparation can resume, and is not in any output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from paris.experts.files import whole_file

Role = Literal["any", "training", "heldout"]


@dataclass(frozen=True)
class Item:
    """One picture of a source."""

    row_id: str
    """Unique, stable name within the source: a relative path, a code point."""
    location: str
    """Location of its bytes, in the syntax of `paris.coordinator.prepare.sources.tree`."""
    caption: str
    """Empty if the source has none."""
    source: str
    url: str
    """URL of the original, or empty."""
    author: str
    licence: str
    caption_origin: str
    """Origin of the caption: "cldr-short-name", "sidecar", "metadata", "column", "synthetic:MODEL@REVISION"."""
    role: Role = "any"
    """Permitted use; "any" leaves the choice of held-out rows to the seed."""
    version: str = ""
    """Changes when the file does."""
    more_captions: str = ""
    """Further captions, one a line."""
    names_seen: str = ""
    """Names of the fields of a row without caption, for messages; not in the table."""


@dataclass(frozen=True)
class SourceInfo:
    """Name, licence and credit line of a whole source."""

    name: str
    licence: str
    attribution: str


_COLUMNS = tuple(field.name for field in fields(Item) if field.name != "names_seen")
_BATCH_ROWS = 65536
_SCHEMA = pa.schema([("index", pa.int64()), *((name, pa.large_string()) for name in _COLUMNS)])


def write_items(items: Iterable[Item], path: Path, *, max_images: int | None = None, seed: int = 0) -> pa.Table:
    """Write the items to a file, limited to `max_images` training pictures, which the seed chooses.

    Args:
        items: The items, in the order of the table.
        path: The file to write or replace.
        max_images: Largest number of items that are not held out; None takes all.
        seed: Seed of the choice.

    Returns:
        The table, memory-mapped.

    Raises:
        DiskFullError: No room; `path` is unchanged.
    """
    table = write_batches(_batches(items), path)
    usable = np.flatnonzero(pc.not_equal(table["role"], "heldout").to_numpy())
    if max_images is None or len(usable) <= max_images:
        return table
    kept = np.ones(table.num_rows, bool)
    kept[np.delete(usable, np.random.default_rng(seed).permutation(len(usable))[:max_images])] = False
    masks = (kept[start : start + _BATCH_ROWS] for start in range(0, len(kept), _BATCH_ROWS))
    parts = zip(item_batches(table), masks, strict=True)
    return write_batches((part.filter(pa.array(mask)) for part, mask in parts), path)


def item_batches(table: pa.Table) -> Iterator[pa.Table]:
    """The items, some ten thousand at a time."""
    for start in range(0, table.num_rows, _BATCH_ROWS):
        yield table.slice(start, _BATCH_ROWS)


def write_batches(tables: Iterable[pa.Table], path: Path) -> pa.Table:
    """Write item tables one after the other, number their rows, and return them memory-mapped."""
    first = 0
    with whole_file(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for table in tables:
            index = pa.array(np.arange(first, first + table.num_rows))
            writer.write_table(table.set_column(0, "index", index))
            first += table.num_rows
    return cast("pa.Table", pa.ipc.open_file(pa.memory_map(str(path))).read_all())


def _batches(items: Iterable[Item]) -> Iterator[pa.Table]:
    waiting = iter(items)
    while batch := list(islice(waiting, _BATCH_ROWS)):
        columns = {name: [getattr(item, name) for item in batch] for name in _COLUMNS}
        yield pa.table({"index": [0] * len(batch), **columns}, schema=_SCHEMA)


def items_key(table: pa.Table) -> str:
    """Digest of all items with their versions; earlier work on items with an equal key can be reused."""
    hasher = hashlib.sha256()
    for batch in table.drop_columns(["index"]).to_batches(max_chunksize=_BATCH_ROWS):
        for *row, more in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            # Without further captions the key is that of 0.1.0, which had none.
            hasher.update("\x1f".join([*row, more] if more else row).encode("utf-8") + b"\x1e")
    return hasher.hexdigest()


def rows_at(table: pa.Table, places: np.ndarray) -> pa.Table:
    """Some rows of an item table, in the order given.

    Not `Table.take`, which first joins all chunks of a text column: a copy of the whole table for every shard.

    Args:
        table: The items, or some columns of them.
        places: int64 `[n]`.
    """
    order = np.argsort(places, kind="stable")
    ascending, first, picked = places[order], 0, []
    for batch in table.to_batches():
        low, high = np.searchsorted(ascending, [first, first + batch.num_rows])
        if low < high:
            picked.append(batch.take(pa.array(ascending[low:high] - first)))
        first += batch.num_rows
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.Table.from_batches(picked, table.schema).combine_chunks().take(pa.array(back))
