"""Shards and held-out files, from the arrays of the second pass.

Files are renamed into place when they are complete, and existing ones are not made again. A row stores a picture's
latent and its caption, as text and, if the run has a tokenizer, as token ids. It does not store the states of a text
encoder: 77 states of CLIP ViT-L/14 are 118 kB beside a latent's 8 kB, and the volunteer's machine computes them during
training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.clustering.plan import Plan
from paris.coordinator.prepare.progress import Progress
from paris.coordinator.prepare.rows.items import rows_at
from paris.coordinator.prepare.writing.encoding import EncodedRows, Stored
from paris.coordinator.prepare.writing.tokens import Tokenizer
from paris.experts.data.shards import Row, write_shard

_TEXT = ("row_id", "caption", "source", "url", "author", "licence", "caption_origin")


_HELDOUT = "heldout"


@dataclass(frozen=True)
class Target:
    """One Parquet file to write."""

    path: Path
    rows: np.ndarray
    """int64: places in the item table, in the order of the file."""


def shard_path(cluster: int, shard: int) -> str:
    """Path of a shard in the data repo."""
    return f"shards/cluster-{cluster:03d}/shard-{shard:05d}.parquet"


def heldout_path(cluster: int) -> str:
    """Path of a cluster's secret rows; never uploaded."""
    return f"{_HELDOUT}/cluster-{cluster:03d}.parquet"


def targets(plan: Plan, shard_rows: int, out_dir: Path) -> list[Target]:
    """All files of a plan.

    Args:
        plan: The clusters.
        shard_rows: Rows of a shard; the last of a cluster may have fewer.
        out_dir: The output folder.
    """
    files = []
    for part in plan.clusters:
        for number, rows in enumerate(part.shards(shard_rows)):
            files.append(Target(out_dir / shard_path(part.cluster, number), rows))
        files.append(Target(out_dir / heldout_path(part.cluster), part.heldout))
    return files


def in_order(wanted: list[Target]) -> np.ndarray:
    """The rows of all files, one after the other, as `EncodedRows` takes them."""
    return np.concatenate([target.rows for target in wanted])


def write_targets(
    table: pa.Table,
    wanted: list[Target],
    encoded: EncodedRows,
    stored: Stored,
    tokenizer: Tokenizer,
    progress: Progress,
) -> None:
    """Write every file that does not exist yet.

    Args:
        table: All items.
        wanted: The files.
        encoded: Their rows, `in_order`.
        stored: Shape and type of a row's array.
        tokenizer: Turns captions into token ids.
        progress: Called with the written rows.

    Raises:
        DiskFullError: No room; finished files stay.
    """
    first = 0
    for target in wanted:
        progress("shards", first, len(encoded))
        count = len(target.rows)
        if not target.path.exists():
            _write(target.path, rows_at(table, target.rows), encoded.slice(first, count), stored, tokenizer)
        first += count
    progress("shards", first, len(encoded))


def _write(path: Path, items: pa.Table, arrays: np.ndarray, stored: Stored, tokenizer: Tokenizer) -> None:
    texts = [
        dict(zip(_TEXT, text, strict=True)) for text in zip(*(items[name].to_pylist() for name in _TEXT), strict=True)
    ]
    tokens = tokenizer.ids([text["caption"] for text in texts])
    more = [tuple(captions.splitlines()) for captions in items["more_captions"].to_pylist()]
    rows = [
        Row(latent=array, tokens=ids, more_captions=others, more_tokens=tokenizer.known(others), **text)
        for array, text, ids, others in zip(arrays, texts, tokens, more, strict=True)
    ]
    is_secret = path.parent.name == _HELDOUT
    if is_secret:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_shard(path, rows, stored.shape, stored.dtype, tokenizer.sha256)
    if is_secret:
        path.chmod(0o600)
