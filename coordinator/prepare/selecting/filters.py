"""Filters: rows are dropped by their metadata, by their picture, or as duplicates.

Each dropped row is counted and listed (drops.py). Size, aspect and decodability are checked in pictures.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.compute.pictures import DUPLICATE, NEAR_DUPLICATE, NO_CAPTION
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import SourceFormatError
from paris.coordinator.prepare.rows.drops import DropList, Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.rows.licences import NOT_ALLOWED, is_allowed
from paris.coordinator.prepare.selecting.near_duplicates import GRID, hash_picture, near_duplicates
from paris.coordinator.prepare.sources.policy import BAD, NOT_ROWS
from paris.experts.files import whole_file

_HASHED = daft.DataType.struct({"phash": daft.DataType.uint64(), "colours": daft.DataType.binary()})
_HASH_ROWS = 64
_LISTED_ROWS = 65536


def admitted(rows: Iterable[Item | Dropped], config: PrepareConfig, drops: DropList) -> Iterator[Item]:
    """The rows that pass the filters on metadata: opt-out, licence, caption.

    Args:
        rows: The rows of the source.
        config: The allowed licences; whether missing captions are generated.
        drops: Receives the other rows.

    Raises:
        SourceFormatError: More of the rows than `max_bad_share` cannot be read; raised after the last row.
    """
    num_rows = 0
    for row in rows:
        num_rows += not (isinstance(row, Dropped) and row.reason in NOT_ROWS)
        if isinstance(row, Dropped):
            drops.add(row)
        elif config.licences and not is_allowed(row.licence, config.licences):
            drops.add(Dropped(row.row_id, NOT_ALLOWED, row.licence))
        elif config.captions and not row.caption and config.captioner is None:
            drops.add(Dropped(row.row_id, NO_CAPTION, f"its fields: {row.names_seen}" if row.names_seen else ""))
        else:
            yield row
    num_bad = sum(drops.counts[reason] for reason in BAD)
    if num_bad > config.max_bad_share * num_rows:
        first = next(drops.first[reason] for reason in BAD if reason in drops.first)
        raise SourceFormatError(
            f"{num_bad} of {num_rows} rows cannot be read, more than max_bad_share = {config.max_bad_share:g} allows; "
            f"the first: {first.row_id}: {first.reason}{': ' * bool(first.detail)}{first.detail}.",
            "Correct them, or raise max_bad_share in [data].",
        )


class HashPictures:
    """Pixels to perceptual hashes and mean colours, for near duplicates.

    Args:
        size: Side of the pictures, pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    @daft.method.batch(return_dtype=_HASHED, batch_size=_HASH_ROWS)
    def hash(self, pixels: daft.Series) -> list[dict[str, Any] | None]:
        """`phash`, 64 bits of the low frequencies; `colours`, means on a grid; null if the pixels are null."""
        return [None if value is None else self.of_pixels(value) for value in pixels.to_arrow().to_pylist()]

    def of_pixels(self, pixels: bytes) -> dict[str, Any]:
        """Hash and colours of one picture, uint8 `[3, S, S]`."""
        phash, colours = hash_picture(np.frombuffer(pixels, np.uint8).reshape(3, self._size, self._size))
        return {"phash": phash, "colours": colours}


def near_hash(pixels: daft.Expression, config: PrepareConfig) -> daft.Expression:
    """The struct `phash`, `colours` of each picture; null if near duplicates are kept."""
    if config.near_duplicate_bits is None:
        return daft.lit(None).cast(_HASHED)
    return daft.cls(use_process=False)(HashPictures)(config.view_px).hash(pixels)


def usable_rows(paths: list[Path], table: pa.Table, near_bits: int | None, drops: DropList) -> np.ndarray:
    """Places of the rows that could be decoded, without duplicates; the first of equal rows is kept.

    Args:
        paths: Parquet files with index, reason, detail, sha256, phash and colours of all rows, in order.
        table: The items, for their names.
        near_bits: Largest number of differing bits of near duplicates; None keeps near duplicates.
        drops: Receives the other rows.

    Returns:
        int64 `[N]`, ascending.
    """
    index, digests, hashes = _judged(paths, table, drops)
    keep = _kept(index, _earlier_same(digests), DUPLICATE, table, drops)
    index, hashes = index[keep], hashes[keep]
    if near_bits is not None and len(index):
        colours, rows = _colours(paths), np.flatnonzero(keep)
        doubles = near_duplicates(hashes, lambda wanted: colours[rows[wanted]], near_bits)
        index = index[_kept(index, doubles, NEAR_DUPLICATE, table, drops)]
    return np.asarray(index)


def _colours(paths: list[Path]) -> np.ndarray:
    """Mean colours uint8 `[N, 3 * GRID * GRID]` of the rows that could be decoded, in a file that is memory-mapped."""
    path = paths[0].with_name("colours.bin")
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        for part in paths:
            file.writelines(pq.read_table(part, columns=["colours"])["colours"].drop_null().to_pylist())
    return np.memmap(path, np.uint8, "r").reshape(-1, 3 * GRID * GRID)


def _judged(paths: list[Path], table: pa.Table, drops: DropList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, 128 bits of the digest, and hashes of the rows that could be decoded: 32 bytes a row in memory."""
    index, digests, hashes = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.uint64)]
    for path in paths:
        part = pq.read_table(path, columns=["index", "reason", "detail", "sha256", "phash"])
        is_dropped = part["reason"].is_valid()
        bad = part.filter(is_dropped)
        names = table["row_id"].take(bad["index"]).to_pylist()
        for name, reason, detail in zip(names, bad["reason"].to_pylist(), bad["detail"].to_pylist(), strict=True):
            drops.add(Dropped(name, reason, detail or ""))
        good = part.filter(part["reason"].is_null())
        index.append(good["index"].to_numpy())
        digests.append(np.frombuffer(b"".join(d[:16] for d in good["sha256"].to_pylist()), np.uint64).reshape(-1, 2))
        hashes.append(good["phash"].fill_null(0).to_numpy())
    return np.concatenate(index), np.concatenate(digests), np.concatenate(hashes)


def _earlier_same(digests: np.ndarray) -> np.ndarray:
    """int64 `[N]`: for each row of `[N, 2]` the first row with the same digest, or -1 if it is the first."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: rows of one digest stay in order
    is_first = np.ones(len(order), bool)
    is_first[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    firsts = order[is_first][np.cumsum(is_first) - 1]
    earlier = np.full(len(order), -1, np.int64)
    earlier[order] = np.where(is_first, -1, firsts)
    return earlier


def _kept(index: np.ndarray, doubles: np.ndarray, reason: str, table: pa.Table, drops: DropList) -> np.ndarray:
    """Mask of the rows that are no duplicates; the others are dropped, with the name of the row that is kept."""
    bad = np.flatnonzero(doubles >= 0)
    for start in range(0, len(bad), _LISTED_ROWS):
        some = bad[start : start + _LISTED_ROWS]
        names, stay = (table["row_id"].take(pa.array(rows)) for rows in (index[some], index[doubles[some]]))
        for name, other in zip(names.to_pylist(), stay.to_pylist(), strict=True):
            drops.add(Dropped(name, reason, other))
    return np.asarray(doubles < 0)
