"""Second pass over the pictures: decode, encode, and keep what a shard will store until the shards are written.

    encoded/part-00000.bin      the stored arrays of 8192 rows that follow each other in the source

The pictures are read in the source's order, so that each byte of it is read once, whatever cluster a row belongs to: a
Parquet file can be read by the row group only, and a tar lies in one piece. Within a part the rows stand in the order
of the shards, so that a shard is one slice of every part. A part that is on disk is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.compute.engine import Engine, result_batches
from paris.coordinator.prepare.compute.functions import EncodePictures, load_codec_once
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import EngineError, PrepareError
from paris.coordinator.prepare.rows.items import rows_at
from paris.coordinator.prepare.selecting.embedding import Report, ahead, decoded
from paris.experts.files import whole_file

_PART_ROWS = 8192
_AROUND_BYTES = 256


@dataclass(frozen=True)
class Stored:
    """What one stored picture is."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "float16", "int8"]

    @property
    def row_bytes(self) -> int:
        """Bytes of one."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def shard_rows(self, config: PrepareConfig) -> int:
        """Rows of a shard: as many as were asked for, or as fill the bytes that were asked for."""
        return config.rows_per_shard or max(1, config.shard_bytes // (self.row_bytes + _AROUND_BYTES))


@dataclass(frozen=True)
class Encoder:
    """What turns a picture into what is stored of it, and where."""

    config: PrepareConfig
    folder: Path
    """Where the VAE's folder is."""
    stored: Stored
    """As `probe` found it."""
    engine: Engine


class EncodedRows:
    """Where the stored arrays of the rows are.

    Args:
        folder: Where the parts are kept; it must belong to these rows and settings alone.
        order: int64 `[N]`: places in the item table, in the order in which the shards hold them.
        stored: What one array is.
    """

    def __init__(self, folder: Path, order: np.ndarray, stored: Stored) -> None:
        self._folder, self._order, self._stored = folder, order, stored
        self._positions = np.argsort(order, kind="stable")  # where the rows of the source stand in `order`
        for start in range(0, len(order), _PART_ROWS):
            self._positions[start : start + _PART_ROWS].sort()

    def __len__(self) -> int:
        return len(self._order)

    def parts(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with its rows `[n]` as places in the item table, in the order in which it holds them."""
        for start in range(0, len(self), _PART_ROWS):
            yield self._path(start), self._order[self._positions[start : start + _PART_ROWS]]

    def slice(self, first: int, count: int) -> np.ndarray:
        """The stored arrays of some rows that follow each other in the order of the shards `[count, *shape]`."""
        rows = np.empty((count, *self._stored.shape), self._stored.dtype)
        for start in range(0, len(self), _PART_ROWS):
            positions = self._positions[start : start + _PART_ROWS]
            low, high = np.searchsorted(positions, [first, first + count])
            if low < high:
                # Not memory-mapped: a page fault reads a hundred kilobytes around a row that nobody asked for.
                skipped, values = int(low) * self._stored.row_bytes, int(high - low) * prod(self._stored.shape)
                found = np.fromfile(self._path(start), self._stored.dtype, values, offset=skipped)
                rows[positions[low:high] - first] = found.reshape(-1, *self._stored.shape)
        return rows

    def _path(self, start: int) -> Path:
        return self._folder / f"part-{start // _PART_ROWS:05d}.bin"


def encode_rows(table: pa.Table, rows: EncodedRows, encoder: Encoder, report: Report) -> None:
    """Encode every part that is not on disk yet.

    Args:
        table: All items.
        rows: Which of them, and where to.
        encoder: How.
        report: Told the rows done.

    Raises:
        DiskFullError: No room; finished parts stay.
        PrepareError: A picture that could be read before cannot be read any more.
        ExpertError: The codec cannot be loaded.
        EngineError: Daft failed.
    """
    done = 0
    for path, places in rows.parts():
        report("encode", done, len(rows))
        if not path.exists():
            _encode_part(table, places, encoder, path, partial(ahead, report, "encode", done, len(rows)))
        done += len(places)
    report("encode", done, done)


def probe(config: PrepareConfig, folder: Path, engine: Engine) -> Stored:
    """Encode one black picture here, to learn what a row stores.

    Raises:
        ExpertError: The codec cannot be loaded.
    """
    here = engine if engine.ray_address is None else Engine()
    encoder = load_codec_once(*_codec(config, folder, here))
    made = encoder.encode(np.zeros((1, 3, config.image_size, config.image_size), np.uint8))
    return Stored(tuple(made.shape[1:]), encoder.dtype)


def _codec(config: PrepareConfig, folder: Path, engine: Engine) -> tuple[Any, ...]:
    """What `load_codec_once` takes."""
    return tuple(sorted(config.codec.items())), str(folder), engine.device


def _encode_part(
    table: pa.Table, places: np.ndarray, encoder: Encoder, path: Path, report: Callable[[int], None]
) -> None:
    """Write one part, row by row as they come back."""
    config, engine, row_bytes = encoder.config, encoder.engine, encoder.stored.row_bytes
    slots = np.argsort(places)
    items = rows_at(table.select(["location"]), places[slots])
    frame = engine.frame(pa.table({"slot": pa.array(slots), "location": items["location"]}))
    encode = engine.model(EncodePictures)(config.image_size, _codec(config, encoder.folder, engine))
    frame = decoded(frame, config.image_size, config)
    frame = frame.with_column("latent", encode.encode(frame["decoded"].get("pixels")))
    frame = frame.select("slot", frame["decoded"].get("reason").alias("reason"), "latent")
    done = 0
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        for batch in result_batches(frame):
            for slot, reason, latent in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if reason is not None:
                    name = table["row_id"][places[slot]].as_py()
                    raise PrepareError(f"The picture {name} changed while it was prepared: {reason}.", "Prepare again.")
                file.seek(slot * row_bytes)
                file.write(latent)
            done += batch.num_rows
            report(done)
        if done != len(places):
            raise EngineError(f"Daft gave back {done} of {len(places)} rows.", "Start the same command again.")
