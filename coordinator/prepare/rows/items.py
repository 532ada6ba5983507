"""The list of what a source offers, before any picture is opened: one row a picture, in the source's order.

    items.arrow    index, row_id, location, caption, source, url, author, licence, caption_origin, role, version

Written as the source lists it and memory-mapped as one uncompressed Arrow file, so that eleven million rows cost disk
and address space and not memory, and any shard's rows can be picked out of it. `version` is the size and change time of
the file; it only decides whether an interrupted preparation may go on, and reaches no output.
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
    """One picture that a source offers."""

    row_id: str
    """Stable name within the source, unique: a relative path, a code point."""
    location: str
    """Where its bytes are, as `paris.coordinator.prepare.sources.tree` says."""
    caption: str
    """Empty where the source has none."""
    source: str
    url: str
    """Where a reader finds the original; empty where there is no such place."""
    author: str
    licence: str
    caption_origin: str
    """Who wrote the caption: "cldr-short-name", "sidecar", "metadata", "column", "synthetic:MODEL@REVISION"."""
    role: Role = "any"
    """What it may be used for; "any" leaves the choice of held-out rows to the seed."""
    version: str = ""


@dataclass(frozen=True)
class SourceInfo:
    """What is said of the source as a whole."""

    name: str
    licence: str
    attribution: str


_COLUMNS = tuple(field.name for field in fields(Item))
_BATCH_ROWS = 65536
_SCHEMA = pa.schema([("index", pa.int64()), *((name, pa.large_string()) for name in _COLUMNS)])


def write_items(items: Iterable[Item], path: Path, *, max_images: int | None = None, seed: int = 0) -> pa.Table:
    """Write the items to a file as they come, cut to `max_images` training pictures that the seed chooses.

    Args:
        items: In the order in which they shall stand.
        path: The file to make or replace.
        max_images: Bound on the items that are not held out, or None.
        seed: Of the choice.

    Returns:
        The table, memory-mapped.

    Raises:
        DiskFullError: No room; `path` is as it was.
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
    """The items some thousands at a time."""
    for start in range(0, table.num_rows, _BATCH_ROWS):
        yield table.slice(start, _BATCH_ROWS)


def write_batches(tables: Iterable[pa.Table], path: Path) -> pa.Table:
    """Write item tables one after the other, numbered anew, and return them memory-mapped."""
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
    """Digest of all items with their versions: equal keys mean that earlier work on them still holds."""
    hasher = hashlib.sha256()
    for batch in table.drop_columns(["index"]).to_batches(max_chunksize=_BATCH_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            hasher.update("\x1f".join(row).encode("utf-8", "surrogatepass") + b"\x1e")
    return hasher.hexdigest()


def rows_at(table: pa.Table, places: np.ndarray) -> pa.Table:
    """Some rows of an item table, in the order given.

    `Table.take` joins all chunks of a text column first: a copy of the whole list for every shard.

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
