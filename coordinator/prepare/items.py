"""The list of what a source offers, before any picture is opened: one row a picture, sorted by row id.

    items.arrow    index, row_id, location, caption, source, url, author, licence, caption_origin, role, version

Kept as one uncompressed Arrow file that is memory-mapped, so that eleven million rows cost address space and not
memory, and any shard's rows can be picked out of it. `version` is the size and change time of the picture's file; it
only decides whether an interrupted preparation may go on, and reaches no output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError
from paris.experts.files import whole_file

Role = Literal["any", "training", "heldout"]


@dataclass(frozen=True)
class Item:
    """One picture that a source offers."""

    row_id: str
    """Stable name within the source, unique: a relative path, a code point."""
    location: str
    """Where its bytes are: an absolute path or a URL that Daft can read."""
    caption: str
    source: str
    url: str
    """Where a reader finds the original; empty where there is no such place."""
    author: str
    licence: str
    caption_origin: str
    """Who wrote the caption: "cldr-short-name", "sidecar", "metadata"."""
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
_SCHEMA = pa.schema([("index", pa.int64()), *((name, pa.large_string()) for name in _COLUMNS)])


def make_table(items: Iterable[Item], *, max_images: int | None, seed: int) -> pa.Table:
    """Sort the items by row id and cut them to `max_images` training pictures, chosen by the seed.

    Args:
        items: In any order; the table does not depend on it.
        max_images: Bound on the items that are not held out, or None.
        seed: Of the choice.

    Raises:
        EmptySourceError: No item.
        SourceFormatError: Two items with one row id.
    """
    ordered = sorted(items, key=lambda item: item.row_id)
    if not ordered:
        raise EmptySourceError("The source holds no picture.", "Check the source's path and its list of names.")
    for before, after in pairwise(ordered):
        if before.row_id == after.row_id:
            raise SourceFormatError(f"The source names the picture {after.row_id!r} twice.", "Remove one of the two.")
    usable = [i for i, item in enumerate(ordered) if item.role != "heldout"]
    if max_images is not None and len(usable) > max_images:
        kept = np.random.default_rng(seed).permutation(len(usable))[:max_images]
        wanted = {usable[i] for i in kept}
        ordered = [item for i, item in enumerate(ordered) if item.role == "heldout" or i in wanted]
    columns: dict[str, list[object]] = {name: [] for name in _COLUMNS}
    for item in ordered:
        for name, value in asdict(item).items():
            columns[name].append(value)
    return pa.table({"index": range(len(ordered)), **columns}, schema=_SCHEMA)


def items_key(table: pa.Table) -> str:
    """Digest of all items with their versions: equal keys mean that earlier work on them still holds."""
    hasher = hashlib.sha256()
    for batch in table.drop_columns(["index"]).to_batches(max_chunksize=65536):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            hasher.update("\x1f".join(row).encode("utf-8", "surrogatepass") + b"\x1e")
    return hasher.hexdigest()


def save_items(table: pa.Table, path: Path) -> pa.Table:
    """Write the items and return them memory-mapped."""
    with whole_file(path) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_table(table, max_chunksize=65536)
    return cast("pa.Table", pa.ipc.open_file(pa.memory_map(str(path))).read_all())
