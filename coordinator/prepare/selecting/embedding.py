"""First pass over the pictures: decode, filter, embed; of each picture only hashes and features are kept.

    embedding-<key>/part-00000.parquet    index, reason, detail, sha256, phash, colours, features
    embedding-<key>/features.npy          float16 [N, D], the usable rows

Parts on disk are not computed again, so that a killed preparation resumes after the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from paris.coordinator.prepare.compute.engine import Engine, result_batches
from paris.coordinator.prepare.compute.functions import EmbedPictures
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.decoding import with_pixels
from paris.coordinator.prepare.progress import Progress, part_progress
from paris.coordinator.prepare.rows.drops import DropList
from paris.coordinator.prepare.selecting.filters import near_hash, usable_rows
from paris.experts.files import whole_file

_PART_ROWS = 8192


@dataclass(frozen=True)
class Embedded:
    """The usable rows and their features: N rows, D features."""

    index: np.ndarray
    """int64 `[N]`: places in the item table, ascending."""
    features: np.ndarray
    """float16 `[N, D]`, memory-mapped: mean removed, unit length."""


def embed_items(
    table: pa.Table, config: PrepareConfig, folder: Path, progress: Progress, drops: DropList, engine: Engine
) -> Embedded:
    """Decode and embed all items, except for the parts already in `folder`.

    Args:
        table: The items.
        config: Embedder, sizes, limits.
        folder: Folder of the parts; it must belong to these items and settings alone.
        progress: Called with the embedded rows.
        drops: Receives the rows that cannot be used.
        engine: Where to compute.

    Raises:
        DiskFullError: No room; finished parts stay.
        ExpertError: The embedder cannot be loaded.
        EngineError: Daft failed.
    """
    paths = [folder / f"part-{part:05d}.parquet" for part in range(-(-table.num_rows // _PART_ROWS))]
    for part, path in enumerate(paths):
        start = part * _PART_ROWS
        progress("embed", start, table.num_rows)
        if not path.exists():
            report = part_progress(progress, "embed", start, table.num_rows)
            _embed_part(table.slice(start, _PART_ROWS), config, path, report, engine)
    progress("embed", table.num_rows, table.num_rows)
    index = usable_rows(paths, table, config.near_duplicate_bits, drops)
    learned_from = index[pc.not_equal(table["role"], "heldout").to_numpy()[index]]
    features = _normalised(paths, index, learned_from, folder / "features.npy")
    return Embedded(index, features)


def _embed_part(
    rows: pa.Table, config: PrepareConfig, path: Path, report: Callable[[int], None], engine: Engine
) -> None:
    embed = engine.model(EmbedPictures)(config.view_px, (config.embedder, engine.device))
    frame = engine.frame(rows.select(["index", "location"]))
    frame = with_pixels(frame, config.view_px, config, keeps_one_colour=False)
    frame = frame.with_column("features", embed.embed(frame["decoded"].get("pixels")))
    frame = frame.with_column("hashed", near_hash(frame["decoded"].get("pixels"), config))
    columns = [frame["decoded"].get(name).alias(name) for name in ("reason", "detail", "sha256")]
    columns += [frame["hashed"].get(name).alias(name) for name in ("phash", "colours")]
    frame = frame.select("index", *columns, "features")
    batches, count = [], 0
    for batch in result_batches(frame):
        batches.append(batch)
        count += batch.num_rows
        report(count)
    with whole_file(path) as unfinished:
        pq.write_table(pa.Table.from_batches(batches).sort_by("index"), unfinished, compression="zstd")


def _parts(paths: list[Path], index: np.ndarray) -> Iterator[np.ndarray]:
    """Features of the rows in `index`, float32 `[n, D]` for each part, in order."""
    for path in paths:
        table = pq.read_table(path, columns=["index", "features"])
        here = table["index"].to_numpy()
        between = slice(*np.searchsorted(index, [here[0], here[-1] + 1]))
        mask = np.isin(here, index[between], assume_unique=True)
        if mask.any():
            rows = table["features"].filter(pa.array(mask)).to_pylist()
            yield np.frombuffer(b"".join(rows), np.float16).reshape(len(rows), -1).astype(np.float32)


def _normalised(paths: list[Path], index: np.ndarray, learned_from: np.ndarray, path: Path) -> np.ndarray:
    """Features minus the mean of the training rows, at unit length.

    Supervised networks give all pictures of one style (icons on white) a large common component, whose strength would
    otherwise decide the clusters.
    """
    total: np.ndarray | None = None
    for part in _parts(paths, learned_from):
        summed = part.astype(np.float64).sum(axis=0)
        total = summed if total is None else total + summed
    if total is None:
        return np.zeros((0, 1), np.float16)
    mean = (total / len(learned_from)).astype(np.float32)
    shape = {"descr": "<f2", "fortran_order": False, "shape": (len(index), len(mean))}
    with (
        whole_file(path) as unfinished,
        unfinished.open("wb") as file,
    ):  # not a memory map: a full disk would be a SIGBUS
        np.lib.format.write_array_header_1_0(file, shape)
        for part in _parts(paths, index):
            centred = part - mean
            centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
            file.write(centred.astype("<f2").tobytes())
    return np.asarray(np.load(path, mmap_mode="r"))
