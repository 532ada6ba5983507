"""Shards: Parquet files of training rows, and a cluster as the list of its shards.

    shard-00000.parquet     zstd; one row a picture
      row_id         string   unique in the run
      latent         fixed-size binary   one array in C order, little-endian
      caption        string
      tokens         list of int32       the caption as the run's tokenizer has it, unpadded; null where there is none
      source url author licence caption_origin      string   where it comes from
      metadata       paris.shape = "3,32,32"   paris.dtype = "uint8" | "float16" | "int8"
                     paris.tokenizer = digest of the tokenizer that made the tokens, where one did

Pixels are stored as uint8, latents as float16 or int8; `codec.py` turns either into what a model sees.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from paris.experts.errors import ShardError
from paris.experts.files import whole_file

DTYPES: dict[str, np.dtype] = {"uint8": np.dtype("uint8"), "float16": np.dtype("<f2"), "int8": np.dtype("int8")}
_TEXT_COLUMNS = ("row_id", "caption", "source", "url", "author", "licence", "caption_origin")
_FETCH_AGAIN = "Fetch or prepare it again."
_POLL_S = 0.2


@dataclass(frozen=True)
class Row:
    """One training picture.

    Args:
        row_id: Unique in the run.
        latent: What is stored of the picture `[C, H, W]`, of one of `DTYPES`.
        caption: What the picture shows; may be empty.
        source: Which collection it comes from.
        url: Where it was found.
        author: Whom to name.
        licence: Under which terms.
        caption_origin: Who wrote the caption: a person, or which model.
    """

    row_id: str
    latent: np.ndarray
    caption: str
    source: str
    url: str
    author: str
    licence: str
    caption_origin: str
    tokens: tuple[int, ...] | None = None
    """The caption's ids, without padding, where the run has a tokenizer."""


def write_shard(path: Path, rows: Sequence[Row], shape: tuple[int, ...], dtype: str, tokenizer: str = "") -> None:
    """Write rows as one shard. The same rows make the same bytes.

    Args:
        path: The file to make or replace.
        rows: At least one.
        shape: Shape of every latent.
        dtype: One of `DTYPES`.
        tokenizer: Digest of the tokenizer that made the rows' tokens; empty where none did.

    Raises:
        ShardError: No rows, or a latent of another shape or dtype; nothing is written.
        DiskFullError: No space; `path` is as it was.
    """
    if not rows:
        raise ShardError(f"{path.name} would be a shard without rows.")
    if dtype not in DTYPES:
        raise ShardError(f"A shard holds {', '.join(DTYPES)}, not {dtype}.")
    for row in rows:
        if row.latent.shape != tuple(shape) or row.latent.dtype != DTYPES[dtype]:
            found = f"{row.latent.dtype} {list(row.latent.shape)}"
            raise ShardError(f"Row {row.row_id!r} is {found}, the shard holds {dtype} {list(shape)}.")
    texts = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in _TEXT_COLUMNS}
    latents = pa.array([row.latent.tobytes() for row in rows], pa.binary(prod(shape) * DTYPES[dtype].itemsize))
    tokens = pa.array([row.tokens for row in rows], pa.list_(pa.int32()))
    front = {"row_id": texts.pop("row_id"), "latent": latents, "caption": texts.pop("caption"), "tokens": tokens}
    table = pa.table({**front, **texts})
    described = {"paris.shape": ",".join(map(str, shape)), "paris.dtype": dtype}
    table = table.replace_schema_metadata(described | ({"paris.tokenizer": tokenizer} if tokenizer else {}))
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", use_dictionary=list(_TEXT_COLUMNS[2:]))


class ShardFile:
    """One shard, mapped into memory; its columns are decoded when first asked for.

    Args:
        path: A Parquet file of this module's format.

    Raises:
        ShardError: Not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"{path} is not a readable shard: {error}.", _FETCH_AGAIN) from error
        schema = self._file.schema_arrow
        missing = [name for name in ("latent", *_TEXT_COLUMNS, "tokens") if name not in schema.names]
        if missing:
            raise ShardError(f"{path} lacks column {missing[0]!r}.", _FETCH_AGAIN)
        self.shape, self.dtype = _described(path, schema.metadata or {})
        self.tokenizer = (schema.metadata or {}).get(b"paris.tokenizer", b"").decode("utf-8", "replace")

    @property
    def num_rows(self) -> int:
        """Rows in the shard."""
        return self._file.metadata.num_rows

    @cached_property
    def latents(self) -> np.ndarray:
        """All stored latents `[N, *shape]`, read-only, without a copy of the decoded column.

        Raises:
            ShardError: A row has no latent, or one of another length.
        """
        column = self._column("latent")
        row_bytes = prod(self.shape) * self.dtype.itemsize
        if column.null_count or column.type != pa.binary(row_bytes):
            raise ShardError(f"{self.path}: a latent does not have {row_bytes} bytes.", _FETCH_AGAIN)
        flat = np.frombuffer(column.buffers()[1], self.dtype, len(column) * prod(self.shape), column.offset * row_bytes)
        return flat.reshape(len(column), *self.shape)

    @cached_property
    def captions(self) -> list[str]:
        """All captions, in row order."""
        return self.texts("caption")

    def latent(self, index: int) -> np.ndarray:
        """The stored latent of one row `[*shape]`."""
        return self.latents[index]

    def caption(self, index: int) -> str:
        """The caption of one row."""
        return self.captions[index]

    def texts(self, name: str) -> list[str]:
        """One text column, in row order; an empty string where the file holds nothing.

        Args:
            name: "row_id", "caption", "source", "url", "author", "licence" or "caption_origin".
        """
        return [text or "" for text in self._column(name).to_pylist()]

    @cached_property
    def tokens(self) -> list[list[int] | None]:
        """The captions' token ids, in row order; None where the run has no tokenizer."""
        return list(self._column("tokens").to_pylist())

    def tokens_of(self, tokenizer: str) -> list[list[int]] | None:
        """All token ids, if every row has some and this tokenizer made them; else None.

        Args:
            tokenizer: Its digest; empty for none.
        """
        if not tokenizer or tokenizer != self.tokenizer:
            return None
        known = [ids for ids in self.tokens if ids]
        return known if len(known) == self.num_rows else None

    def _column(self, name: str) -> pa.Array:
        try:
            column = self._file.read([name]).column(0).combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"{self.path}: column {name!r} cannot be read: {error}.", _FETCH_AGAIN) from error
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


class ClusterData:
    """A cluster's shards in the order of its manifest; at most `max_open` of them decoded at a time.

    Args:
        paths: The files, in the order of the manifest.
        max_open: How many shards stay decoded; None: all.
    """

    def __init__(self, paths: Sequence[Path], max_open: int | None = None) -> None:
        self._path: Callable[[int], Path] = paths.__getitem__
        self._expected_rows: Sequence[int] | None = None
        self._max_open = max_open or len(paths)
        self._open: OrderedDict[int, ShardFile] = OrderedDict()
        self.num_shards = len(paths)

    @classmethod
    def arriving(
        cls, shard_path: Callable[[int], Path], shard_rows: Sequence[int], max_open: int | None = None
    ) -> ClusterData:
        """A cluster whose files may still be on their way.

        Args:
            shard_path: The file of shard i; may block until it is there.
            shard_rows: How many rows each will have, in the order of the manifest.
            max_open: How many shards stay decoded; None: all.
        """
        data = cls([], max_open or len(shard_rows))
        data._path, data._expected_rows, data.num_shards = shard_path, tuple(shard_rows), len(shard_rows)
        return data

    @property
    def shard_rows(self) -> tuple[int, ...]:
        """Rows of each shard; opens every file."""
        return tuple(self.shard(index).num_rows for index in range(self.num_shards))

    def shard(self, index: int) -> ShardFile:
        """One shard, opened when first asked for; the one unused for longest is closed for it.

        Raises:
            ShardError: Not a shard, with other rows than the manifest says, or unlike the cluster's others.
        """
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index]
        shard = ShardFile(self._path(index))
        self._check(index, shard)
        self._open[index] = shard
        while len(self._open) > self._max_open:
            self._open.popitem(last=False)
        return shard

    def latents(self, rows: Sequence[tuple[int, int]]) -> np.ndarray:
        """Stored latents of some rows `[B, *shape]`.

        Args:
            rows: Pairs of shard number and row number.
        """
        return np.stack([self.shard(shard).latents[row] for shard, row in rows])

    def captions(self, rows: Sequence[tuple[int, int]]) -> list[str]:
        """Captions of some rows."""
        return [self.shard(shard).captions[row] for shard, row in rows]

    def _check(self, index: int, shard: ShardFile) -> None:
        if self._expected_rows and shard.num_rows != self._expected_rows[index]:
            said = f"the manifest says {self._expected_rows[index]}"
            raise ShardError(f"{shard.path} has {shard.num_rows} rows, {said}.", _FETCH_AGAIN)
        other = next(iter(self._open.values()), shard)
        if (shard.shape, shard.dtype) != (other.shape, other.dtype):
            raise ShardError(
                f"{shard.path} holds {shard.dtype} {list(shard.shape)}, {other.path} {other.dtype} {list(other.shape)}."
            )


def wait_for_shard(path: Path, should_stop: Callable[[], bool]) -> Path:
    """Block until a shard is there: another process fetches it and renames it into place when it is whole.

    Args:
        path: Where it will be.
        should_stop: Asked while waiting.

    Raises:
        ShardError: Told to stop before the shard came.
    """
    pause = threading.Event()
    while not path.exists():
        if should_stop():
            raise ShardError(f"Stopped while waiting for {path.name}.", "Start the same command again to go on.")
        pause.wait(_POLL_S)
    return path


def _described(path: Path, metadata: dict[bytes, bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the latents, from the file's metadata."""
    sizes = metadata.get(b"paris.shape", b"").decode("utf-8", "replace").split(",")
    dtype = metadata.get(b"paris.dtype", b"").decode("utf-8", "replace")
    if dtype not in DTYPES or not all(size.isdecimal() and 0 < int(size) <= 1 << 20 for size in sizes):
        raise ShardError(f"{path} does not say the shape and type of its latents.", _FETCH_AGAIN)
    return tuple(int(size) for size in sizes), DTYPES[dtype]
