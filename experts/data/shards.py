"""Shards: Parquet files of training rows.

    shard-00000.parquet     zstd; one row a picture
      row_id         string   unique in the run
      latent         fixed-size binary   one array in C order, little-endian
      caption        string
      tokens         list of int32       the caption's token ids, unpadded; null without a tokenizer
      more_captions  list of string      only if a row has several; training draws one of all at each visit
      more_tokens    list of lists of int32   their token ids
      source url author licence caption_origin      string   see `Row`
      metadata       paris.shape = "3,32,32"   paris.dtype = "uint8" | "float16" | "int8"
                     paris.tokenizer = digest of the tokenizer, with one

Pixels are stored as uint8, latents as float16 or int8; see `Codec.to_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from paris.experts.data.column_bounds import TooLargeError, rows_at_once
from paris.experts.errors import ShardError
from paris.experts.files import whole_file

DTYPES: dict[str, np.dtype] = {"uint8": np.dtype("uint8"), "float16": np.dtype("<f2"), "int8": np.dtype("int8")}
_TEXT_COLUMNS = ("row_id", "caption", "source", "url", "author", "licence", "caption_origin")
_COLUMN_TYPES = {name: pa.string() for name in _TEXT_COLUMNS} | {"tokens": pa.list_(pa.int32())}
_OPTIONAL_TYPES = {"more_captions": pa.list_(pa.string()), "more_tokens": pa.list_(pa.list_(pa.int32()))}
UNREADABLE_PARQUET = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on damaged files: it decodes names and texts without a check as they are read."""
_TEXT_BYTES_A_ROW = 1 << 14
"""Mean size of a row's captions or tokens at most."""
_SPARE_BYTES = 1 << 20
FETCH_AGAIN = "Fetch or prepare it again."


@dataclass(frozen=True)
class Row:
    """One training picture."""

    row_id: str
    """Unique in the run."""
    latent: np.ndarray
    """The stored picture `[C, H, W]`, of one of `DTYPES`."""
    caption: str
    """May be empty."""
    source: str
    """The collection it comes from."""
    url: str
    author: str
    """For the attribution."""
    licence: str
    caption_origin: str
    """Who wrote the caption: a person, or which model."""
    tokens: tuple[int, ...] | None = None
    """The caption's token ids, without padding; None without a tokenizer."""
    more_captions: tuple[str, ...] = ()
    """Other captions of the picture."""
    more_tokens: tuple[tuple[int, ...], ...] = ()
    """Their token ids; empty without a tokenizer."""


def write_shard(path: Path, rows: Sequence[Row], shape: tuple[int, ...], dtype: str, tokenizer: str = "") -> None:
    """Write rows as one shard. The same rows make the same bytes.

    Args:
        path: The file to make or replace.
        rows: At least one.
        shape: Of every latent.
        dtype: One of `DTYPES`.
        tokenizer: Digest of the tokenizer that made the rows' tokens; empty without one.

    Raises:
        ShardError: No rows, or a latent of another shape or dtype; nothing is written.
        DiskFullError: No space; `path` is unchanged.
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
    if any(row.more_captions for row in rows):  # else no column: the bytes of shards with single captions stay
        front["more_captions"] = pa.array([row.more_captions for row in rows], pa.list_(pa.string()))
        front["more_tokens"] = pa.array([row.more_tokens for row in rows], pa.list_(pa.list_(pa.int32())))
    table = pa.table({**front, **texts})
    described = {"paris.shape": ",".join(map(str, shape)), "paris.dtype": dtype}
    table = table.replace_schema_metadata(described | ({"paris.tokenizer": tokenizer} if tokenizer else {}))
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", use_dictionary=list(_TEXT_COLUMNS[2:]))


class ShardFile:
    """One shard, mapped into memory; each column is decoded on first use.

    Raises:
        ShardError: The file is not a readable shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
            schema = self._file.schema_arrow
            types = dict(zip(schema.names, schema.types, strict=True))
        except UNREADABLE_PARQUET as error:
            raise ShardError(f"{path} is not a readable shard: {error}.", FETCH_AGAIN) from error
        for name in ("latent", *_COLUMN_TYPES):
            if name not in types:
                raise ShardError(f"{path} lacks column {name!r}.", FETCH_AGAIN)
        for name, kind in (_COLUMN_TYPES | _OPTIONAL_TYPES).items():
            if types.get(name, kind) != kind:
                raise ShardError(f"{path}: column {name!r} is {types[name]}, not {kind}.", FETCH_AGAIN)
        self.shape, self.dtype = _described(path, schema.metadata or {})
        self.tokenizer = (schema.metadata or {}).get(b"paris.tokenizer", b"").decode("utf-8", "replace")

    @property
    def num_rows(self) -> int:
        """Rows in the shard."""
        return self._file.metadata.num_rows

    @cached_property
    def latents(self) -> np.ndarray:
        """All stored latents `[N, *shape]`, a read-only view of the decoded column.

        Raises:
            ShardError: A row has no latent, or one of another length.
        """
        row_bytes = prod(self.shape) * self.dtype.itemsize
        is_sound = self._file.schema_arrow.field("latent").type == pa.binary(row_bytes)
        column = self._column("latent") if is_sound else None
        if column is None or column.null_count:
            raise ShardError(f"{self.path}: a latent does not have {row_bytes} bytes.", FETCH_AGAIN)
        flat = np.frombuffer(column.buffers()[1], self.dtype, len(column) * prod(self.shape), column.offset * row_bytes)
        return flat.reshape(len(column), *self.shape)

    @cached_property
    def captions(self) -> list[str]:
        """Captions, in row order."""
        return self.texts("caption")

    def texts(self, name: str) -> list[str]:
        """One text column, in row order; null reads as an empty string."""
        return [text or "" for text in self._values(name)]

    @property
    def has_more_captions(self) -> bool:
        """Whether some row has several captions."""
        return "more_captions" in self._file.schema_arrow.names

    @cached_property
    def all_captions(self) -> list[list[str]]:
        """All captions of each row, in row order; the first is that of `captions`."""
        if not self.has_more_captions:
            return [[caption] for caption in self.captions]
        more = self._values("more_captions")
        return [[first, *(others or ())] for first, others in zip(self.captions, more, strict=True)]

    def all_tokens_of(self, tokenizer: str) -> list[list[list[int]]] | None:
        """As `tokens_of`, of all captions of each row."""
        return self._all_tokens if tokenizer and tokenizer == self.tokenizer else None

    @cached_property
    def _all_tokens(self) -> list[list[list[int]]] | None:
        more = self._values("more_tokens") if self.has_more_captions else [None] * self.num_rows
        rows = [[first or [], *(others or ())] for first, others in zip(self.tokens, more, strict=True)]
        is_whole = all(all(ids) and len(ids) == len(texts) for ids, texts in zip(rows, self.all_captions, strict=True))
        return rows if is_whole else None

    @cached_property
    def tokens(self) -> list[list[int] | None]:
        """The captions' token ids, in row order; None without a tokenizer."""
        return self._values("tokens")

    def tokens_of(self, tokenizer: str) -> list[list[int]] | None:
        """All token ids, if every row has some and the tokenizer with this digest made them; else None."""
        if not tokenizer or tokenizer != self.tokenizer:
            return None
        present = [ids for ids in self.tokens if ids]
        return present if len(present) == self.num_rows else None

    def _values(self, name: str) -> list[Any]:
        column = self._column(name)
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError as error:
            raise ShardError(f"{self.path}: column {name!r} is not UTF-8: {error}.", FETCH_AGAIN) from error

    def _column(self, name: str) -> pa.Array:
        """A decoded column; it may be no larger than its rows allow, however small the file is."""
        row_bytes = prod(self.shape) * self.dtype.itemsize if name == "latent" else _TEXT_BYTES_A_ROW
        limit_bytes, decoded_bytes = _SPARE_BYTES + self.num_rows * row_bytes, 0
        batches: list[pa.RecordBatch] = []
        try:
            at_once = rows_at_once(self.path, self._file.metadata, name, limit_bytes)
            for batch in self._file.iter_batches(at_once, columns=[name]):
                decoded_bytes += batch.nbytes
                if decoded_bytes > limit_bytes:
                    raise TooLargeError
                batches.append(batch)
            column = pa.Table.from_batches(batches, pa.schema([self._file.schema_arrow.field(name)])).column(0)
        except TooLargeError:
            what = f"{self.path}: column {name!r} is larger than {limit_bytes} bytes when decoded."
            raise ShardError(what, FETCH_AGAIN) from None
        except (*UNREADABLE_PARQUET, ValueError) as error:
            raise ShardError(f"{self.path}: column {name!r} cannot be read: {error}.", FETCH_AGAIN) from error
        whole = column.combine_chunks()
        return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _described(path: Path, metadata: dict[bytes, bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the latents, from the file's metadata."""
    sizes = metadata.get(b"paris.shape", b"").decode("utf-8", "replace").split(",")
    dtype = metadata.get(b"paris.dtype", b"").decode("utf-8", "replace")
    if dtype not in DTYPES or not all(size.isdecimal() and 0 < int(size) <= 1 << 20 for size in sizes):
        raise ShardError(f"{path} does not name the shape and type of its latents.", FETCH_AGAIN)
    return tuple(int(size) for size in sizes), DTYPES[dtype]
