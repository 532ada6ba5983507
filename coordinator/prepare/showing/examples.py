"""Example pictures of each cluster, decoded once for clusters.png and clusters.html."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.clustering.plan import Plan
from paris.coordinator.prepare.compute.engine import Engine, result_batches
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.decoding import with_pixels
from paris.coordinator.prepare.rows.items import rows_at

_NEAREST, _FARTHEST, _SPREAD = 28, 12, 24
_MAX_SIDE_PX = 128
_MAX_CAPTION_CHARS = 300


@dataclass(frozen=True)
class Example:
    """One training picture."""

    row_id: str
    caption: str
    """Cut to `_MAX_CAPTION_CHARS`."""
    pixels: np.ndarray
    """uint8 `[3, S, S]`, at most as large as the training pictures."""


@dataclass(frozen=True)
class Examples:
    """Examples of one cluster; in a small cluster the lists overlap."""

    nearest: list[Example]
    """Nearest to the centroid, in that order."""
    spread: list[Example]
    """At even steps from the nearest to the farthest."""
    farthest: list[Example]
    """Farthest from the centroid, in that order."""


def gather_examples(table: pa.Table, plan: Plan, config: PrepareConfig, engine: Engine) -> list[Examples]:
    """Decode the example pictures of each cluster.

    Args:
        table: All items.
        plan: The clusters.
        config: Sizes and limits.
        engine: Where to decode.
    """
    chosen = [_chosen(part.typical) for part in plan.clusters]
    places = np.unique(np.concatenate([rows for lists in chosen for rows in lists]))
    found = _decoded(table, places, config, engine)
    return [Examples(*([found[row] for row in rows.tolist() if row in found] for rows in lists)) for lists in chosen]


def cut(caption: str) -> str:
    """A caption, cut to a length that people read."""
    return caption if len(caption) <= _MAX_CAPTION_CHARS else f"{caption[: _MAX_CAPTION_CHARS - 3].rstrip()}..."


def _chosen(typical: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps = np.linspace(0, len(typical) - 1, min(_SPREAD, len(typical))).round().astype(np.int64)
    return typical[:_NEAREST], typical[steps], typical[::-1][:_FARTHEST]


def _decoded(table: pa.Table, places: np.ndarray, config: PrepareConfig, engine: Engine) -> dict[int, Example]:
    """Examples by place; a picture that cannot be read any more is left out."""
    size = min(config.image_size, _MAX_SIDE_PX)
    rows = rows_at(table.select(["row_id", "caption", "location"]), places).append_column("place", pa.array(places))
    frame = with_pixels(engine.frame(rows.select(["place", "location"])), size, config)
    texts = {
        place: (row_id, cut(caption)) for row_id, caption, _, place in zip(*rows.to_pydict().values(), strict=True)
    }
    found = {}
    for batch in result_batches(frame.select("place", frame["decoded"].get("pixels").alias("pixels"))):
        for place, data in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if data is not None:
                found[place] = Example(*texts[place], np.frombuffer(data, np.uint8).reshape(3, size, size))
    return found
