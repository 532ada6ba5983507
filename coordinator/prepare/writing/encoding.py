"""Second pass over the pictures: decode and encode them, and keep the results until the shards are written.

    encoded/part-00000.bin      the stored arrays of 8192 consecutive rows of the source

The pictures are read in the order of the source, so that each byte is read once: Parquet files are read by whole row
groups, tars sequentially. Within a part the rows are in the order of the shards, so that a shard is one slice of every
part. Parts on disk are not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.compute.engine import Engine, result_batches
from paris.coordinator.prepare.compute.functions import EncodePictures, load_codec_once
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.decoding import with_pixels
from paris.coordinator.prepare.errors import EngineError, PrepareError
from paris.coordinator.prepare.progress import Progress, part_progress
from paris.coordinator.prepare.rows.items import rows_at
from paris.experts.files import whole_file

_PART_ROWS = 8192
_AROUND_BYTES = 256


@dataclass(frozen=True)
class Stored:
    """Shape and type of one stored picture."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "float16", "int8"]

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored picture."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def shard_rows(self, config: PrepareConfig) -> int:
        """Rows of a shard: the configured number, or as many as fill the configured bytes."""
        return config.rows_per_shard or max(1, config.shard_bytes // (self.row_bytes + _AROUND_BYTES))


@dataclass(frozen=True)
class Encoder:
    """The codec, and the engine that it runs on."""

    config: PrepareConfig
    folder: Path
    """Parent of the VAE's folder."""
    stored: Stored
    """From `probe`."""
    engine: Engine


class EncodedRows:
    """The stored arrays of the rows, in files.

    Args:
        folder: Folder of the parts; it must belong to these rows and settings alone.
        order: int64 `[N]`: places in the item table, in the order of the shards.
        stored: Shape and type of one array.
    """

    def __init__(self, folder: Path, order: np.ndarray, stored: Stored) -> None:
        self._folder, self._order, self._stored = folder, order, stored
        self._positions = np.argsort(order, kind="stable")  # positions in `order`, in the order of the source
        for start in range(0, len(order), _PART_ROWS):
            self._positions[start : start + _PART_ROWS].sort()

    def __len__(self) -> int:
        return len(self._order)

    def parts(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with its rows `[n]` as places in the item table, in the order of the file."""
        for start in range(0, len(self), _PART_ROWS):
            yield self._path(start), self._order[self._positions[start : start + _PART_ROWS]]

    def slice(self, first: int, count: int) -> np.ndarray:
        """The stored arrays of consecutive rows in the order of the shards, `[count, *shape]`."""
        rows = np.empty((count, *self._stored.shape), self._stored.dtype)
        for start in range(0, len(self), _PART_ROWS):
            positions = self._positions[start : start + _PART_ROWS]
            low, high = np.searchsorted(positions, [first, first + count])
            if low < high:
                # Not memory-mapped: a page fault would read a hundred unneeded kilobytes around each row.
                skipped, count_values = int(low) * self._stored.row_bytes, int(high - low) * prod(self._stored.shape)
                values = np.fromfile(self._path(start), self._stored.dtype, count_values, offset=skipped)
                rows[positions[low:high] - first] = values.reshape(-1, *self._stored.shape)
        return rows

    def _path(self, start: int) -> Path:
        return self._folder / f"part-{start // _PART_ROWS:05d}.bin"


def encode_rows(table: pa.Table, rows: EncodedRows, encoder: Encoder, progress: Progress) -> None:
    """Encode every part that is not on disk yet.

    Args:
        table: All items.
        rows: The rows to encode, and their files.
        encoder: The codec and its engine.
        progress: Called with the encoded rows.

    Raises:
        DiskFullError: No room; finished parts stay.
        PrepareError: A picture has changed since the first pass and cannot be decoded any more.
        ExpertError: The codec cannot be loaded.
        EngineError: Daft failed.
    """
    done = 0
    for path, places in rows.parts():
        progress("encode", done, len(rows))
        if not path.exists():
            _encode_part(table, places, encoder, path, part_progress(progress, "encode", done, len(rows)))
        done += len(places)
    progress("encode", done, done)


def probe(config: PrepareConfig, folder: Path, engine: Engine) -> Stored:
    """Encode one black picture in this process, to learn shape and type of the stored arrays.

    Raises:
        ExpertError: The codec cannot be loaded.
    """
    here = engine if engine.ray_address is None else Engine()
    encoder = load_codec_once(*_codec(config, folder, here))
    made = encoder.encode(np.zeros((1, 3, config.image_size, config.image_size), np.uint8))
    return Stored(tuple(made.shape[1:]), encoder.dtype)


def _codec(config: PrepareConfig, folder: Path, engine: Engine) -> tuple[Any, ...]:
    """The arguments of `load_codec_once`."""
    return tuple(sorted(config.codec.items())), str(folder), engine.device


def _encode_part(
    table: pa.Table, places: np.ndarray, encoder: Encoder, path: Path, report: Callable[[int], None]
) -> None:
    """Write one part, each row at its place as it is returned by Daft."""
    config, engine, row_bytes = encoder.config, encoder.engine, encoder.stored.row_bytes
    slots = np.argsort(places)
    items = rows_at(table.select(["location"]), places[slots])
    frame = engine.frame(pa.table({"slot": pa.array(slots), "location": items["location"]}))
    encode = engine.model(EncodePictures)(config.image_size, _codec(config, encoder.folder, engine))
    frame = with_pixels(frame, config.image_size, config)
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
            raise EngineError(f"Daft returned {done} of {len(places)} rows.", "Start the same command again.")
