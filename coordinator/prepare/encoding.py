"""Second pass over the pictures: decode, encode, write the shards and the held-out parts.

Rows of several files go through one query and are put where they belong as they come back, whatever their order, so
that no more pictures are in memory than a few files hold. A file that is there is whole (it was renamed into place) and
is not made again: a preparation that is killed has one group of files to make again.

A row stores a picture's latent and its caption, as text and as the ids of the run's tokenizer where there is one. It
does not store what a text encoder makes of the caption: 77 states of CLIP ViT-L/14 are 118 kB beside a latent's 8 kB,
and the volunteer's machine makes them while it trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.embedding import Report, decoded
from paris.coordinator.prepare.engine import Engine, result_batches
from paris.coordinator.prepare.errors import PrepareError
from paris.coordinator.prepare.functions import EncodePictures, load_codec_once
from paris.coordinator.prepare.items import rows_at
from paris.coordinator.prepare.plan import Plan
from paris.coordinator.prepare.tokens import Tokenize
from paris.experts.data.shards import Row, write_shard

_GROUP_ROWS = 8192
_AROUND_BYTES = 256
_TEXT = ("row_id", "caption", "source", "url", "author", "licence", "caption_origin")


@dataclass(frozen=True)
class Target:
    """One Parquet file to write."""

    path: Path
    rows: np.ndarray
    """int64: places in the item table, in the order of the file."""


@dataclass(frozen=True)
class Stored:
    """What one stored picture is."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "float16", "int8"]

    def shard_rows(self, config: PrepareConfig) -> int:
        """Rows of a shard: as many as were asked for, or as fill the bytes that were asked for."""
        row_bytes = prod(self.shape) * np.dtype(self.dtype).itemsize + _AROUND_BYTES
        return config.rows_per_shard or max(1, config.shard_bytes // row_bytes)


def shard_path(cluster: int, shard: int) -> str:
    """Path of a shard in the data repo."""
    return f"shards/cluster-{cluster:03d}/shard-{shard:05d}.parquet"


def heldout_path(cluster: int) -> str:
    """Path of a cluster's secret rows; never uploaded."""
    return f"heldout/cluster-{cluster:03d}.parquet"


def targets(plan: Plan, shard_rows: int, out_dir: Path) -> list[Target]:
    """All files that the plan asks for, shards of so many rows."""
    found = []
    for part in plan.clusters:
        for number, rows in enumerate(part.shards(shard_rows)):
            found.append(Target(out_dir / shard_path(part.cluster, number), rows))
        found.append(Target(out_dir / heldout_path(part.cluster), part.heldout))
    return found


@dataclass(frozen=True)
class Encoder:
    """What turns a picture and its caption into a row, and where."""

    config: PrepareConfig
    folder: Path
    """Where the VAE's folder is."""
    stored: Stored
    """As `probe` found it."""
    tokenize: Tokenize
    engine: Engine


def encode_targets(table: pa.Table, wanted: list[Target], encoder: Encoder, report: Report) -> None:
    """Write every file that is not there yet.

    Args:
        table: All items.
        wanted: The files.
        encoder: What makes their rows.
        report: Told the rows done.

    Raises:
        DiskFullError: No room; finished files stay.
        PrepareError: A picture that could be read before cannot be read any more.
        ExpertError: The codec cannot be loaded.
        EngineError: Daft failed.
    """
    total = sum(len(target.rows) for target in wanted)
    missing = [target for target in wanted if not target.path.exists()]
    done = total - sum(len(target.rows) for target in missing)
    report("encode", done, total)
    for group in _groups(missing):
        for count in _encode_group(table, group, encoder):
            done += count
            report("encode", done, total)


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


def _groups(files: list[Target]) -> Iterator[list[Target]]:
    """Cut the list into runs of files with at most `_GROUP_ROWS` rows each, or one larger file."""
    group: list[Target] = []
    for target in files:
        if group and sum(len(member.rows) for member in (*group, target)) > _GROUP_ROWS:
            yield group
            group = []
        group.append(target)
    if group:
        yield group


def _encode_group(table: pa.Table, group: list[Target], encoder: Encoder) -> Iterator[int]:
    """Write one group's files; gives the rows of each batch that came back."""
    config, engine = encoder.config, encoder.engine
    items = rows_at(table, np.concatenate([target.rows for target in group]))
    places = pa.array(range(items.num_rows), pa.int64())
    frame = engine.frame(pa.table({"place": places, "location": items["location"]}))
    encode = engine.model(EncodePictures)(config.image_size, _codec(config, encoder.folder, engine))
    frame = decoded(frame, config.image_size, config)
    frame = frame.with_column("latent", encode.encode(frame["decoded"].get("pixels")))
    frame = frame.select("place", frame["decoded"].get("reason").alias("reason"), "latent")
    starts = np.cumsum([0] + [len(target.rows) for target in group])
    waiting: list[dict[int, bytes]] = [{} for _ in group]
    for batch in result_batches(frame):
        for place, reason, latent in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if reason is not None:
                name = items["row_id"][place].as_py()
                raise PrepareError(f"The picture {name} changed while it was prepared: {reason}.", "Prepare again.")
            member = int(np.searchsorted(starts, place, side="right")) - 1
            waiting[member][place] = latent
            if len(waiting[member]) == len(group[member].rows):
                whole = items.slice(starts[member], len(waiting[member]))
                _write(group[member].path, whole, waiting[member], encoder)
                waiting[member] = {}
        yield batch.num_rows


def _write(path: Path, items: pa.Table, latents: dict[int, bytes], encoder: Encoder) -> None:
    stored = encoder.stored
    arrays = (np.frombuffer(latents[place], stored.dtype).reshape(stored.shape) for place in sorted(latents))
    texts = [
        dict(zip(_TEXT, text, strict=True)) for text in zip(*(items[name].to_pylist() for name in _TEXT), strict=True)
    ]
    tokens = encoder.tokenize([text["caption"] for text in texts])
    rows = [Row(latent=array, tokens=ids, **text) for array, text, ids in zip(arrays, texts, tokens, strict=True)]
    write_shard(path, rows, stored.shape, stored.dtype)
