"""Captions for the pictures without one, by a captioner, marked `synthetic:MODEL@REVISION`.

    captions-<key>/part-00000.arrow    index, caption        the rows without caption, part by part
    captions-<key>/items.arrow         all items, with captions

Runs after the filters, so that no dropped picture is captioned. Parts on disk are not made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from paris.coordinator.prepare.compute.engine import Engine, daft, result_batches
from paris.coordinator.prepare.compute.functions import on_pictures
from paris.coordinator.prepare.compute.pictures import NO_CAPTION
from paris.coordinator.prepare.config import PrepareConfig, public_name
from paris.coordinator.prepare.decoding import with_pixels
from paris.coordinator.prepare.progress import Progress
from paris.coordinator.prepare.rows.drops import DropList, Dropped
from paris.coordinator.prepare.rows.items import item_batches, write_batches
from paris.coordinator.prepare.selecting.captioner import check_captioner, load_captioner_once
from paris.coordinator.prepare.selecting.embedding import Embedded
from paris.experts.files import whole_file
from paris.protocol.canonical import canonical_bytes, digest

_PART_ROWS = 8192
_CAPTION_ROWS = 32
_VIEW_PX = 384
_SCHEMA = pa.schema([("index", pa.int64()), ("caption", pa.large_string())])


def captioner_origin(config: PrepareConfig) -> str:
    """The `caption_origin` of the captioner's captions; empty without a captioner.

    Called first, so that a missing captioner is known before hours of work.

    Raises:
        CaptionerError: The captioner is missing, or is no BLIP or BLIP-2.
    """
    if config.captioner is None:
        return ""
    return f"synthetic:{public_name(config.captioner)}@{check_captioner(config.captioner, config.captioner_revision)}"


@dataclass(frozen=True)
class Captioning:
    """The captioner and its work folder.

    Args:
        config: The captioner, and the limits of pictures.
        origin: From `captioner_origin`.
        folder: `.prepare`.
        source_key: Digest of the items.
        engine: Where to compute.
    """

    config: PrepareConfig
    origin: str
    folder: Path
    source_key: str
    engine: Engine

    @property
    def work(self) -> Path:
        """Folder of the parts."""
        return self.folder / f"captions-{digest(canonical_bytes([self.source_key, self.origin]))[:16]}"


class CaptionPictures:
    """Pixels to captions.

    Args:
        size: Side of the pictures, pixels.
        name: Name on the Hub, or folder, of the captioner.
        revision: Branch, tag or commit of a name on the Hub.
        device: Device to compute on.
    """

    def __init__(self, size: int, name: str, revision: str | None, device: str) -> None:
        self._size, self._load = size, (name, revision, device)

    @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=_CAPTION_ROWS)
    def caption(self, pixels: daft.Series) -> list[str | None]:
        """One caption a row: empty if the model generates no text, null if the pixels are null."""
        return on_pictures(pixels, self._size, load_captioner_once(*self._load).caption)


def fill_captions(
    table: pa.Table, embedded: Embedded, captioning: Captioning, progress: Progress, drops: DropList
) -> tuple[pa.Table, Embedded]:
    """Caption the usable rows that have no caption.

    Args:
        table: All items.
        embedded: The usable ones.
        captioning: The captioner and its work folder.
        progress: Called with the captioned rows.
        drops: Receives the rows for which the captioner generates no text.

    Returns:
        The items with all captions, memory-mapped, and the usable rows that have one.

    Raises:
        CaptionerError: The captioner cannot be loaded.
        DiskFullError: No room; finished parts stay.
        EngineError: Daft failed.
    """
    silent = np.flatnonzero(pc.equal(table["caption"], "").to_numpy())
    wanted = silent[np.isin(silent, embedded.index, assume_unique=True)]
    if captioning.config.captioner is None or not len(wanted):
        return table, embedded
    parts = []
    for number, start in enumerate(range(0, len(wanted), _PART_ROWS)):
        progress("caption", start, len(wanted))
        path = captioning.work / f"part-{number:05d}.arrow"
        if not path.exists():
            _caption_part(table, wanted[start : start + _PART_ROWS], captioning, path)
        parts.append(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    progress("caption", len(wanted), len(wanted))
    captions = pa.concat_tables(parts)
    filled = write_batches(_filled(table, captions, captioning.origin), captioning.work / "items.arrow")
    blank = captions.filter(pc.equal(captions["caption"], ""))["index"].to_numpy()
    for row_id in table["row_id"].take(pa.array(blank)).to_pylist():
        drops.add(Dropped(row_id, NO_CAPTION, "the captioner finds no word"))
    return filled, _without(embedded, blank, captioning.work / "features.npy")


def _caption_part(table: pa.Table, rows: np.ndarray, captioning: Captioning, path: Path) -> None:
    places, config, engine = pa.array(rows), captioning.config, captioning.engine
    frame = engine.frame(pa.table({"index": places, "location": table["location"].take(places)}))
    loaded = config.captioner, config.captioner_revision, engine.device
    make = engine.model(CaptionPictures)(_VIEW_PX, *loaded)
    frame = with_pixels(frame, _VIEW_PX, config)
    frame = frame.select("index", make.caption(frame["decoded"].get("pixels")).alias("caption"))
    made = pa.Table.from_batches(list(result_batches(frame))).sort_by("index")
    texts = pc.fill_null(made["caption"].cast(pa.large_string()), "")
    with (
        whole_file(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as file,
    ):
        file.write_table(pa.table([made["index"], texts], schema=_SCHEMA))


def _filled(table: pa.Table, captions: pa.Table, origin: str) -> Iterator[pa.Table]:
    """The items, with the captions filled in."""
    index = captions["index"].to_numpy()
    for part in item_batches(table):
        first = part["index"][0].as_py()
        low, high = np.searchsorted(index, [first, first + part.num_rows])
        mask = np.zeros(part.num_rows, bool)
        mask[index[low:high] - first] = True
        texts = captions["caption"].slice(low, high - low).combine_chunks()
        origins = pa.array([origin] * len(texts), pa.large_string())
        for name, values in (("caption", texts), ("caption_origin", origins)):
            new = pc.replace_with_mask(part[name].combine_chunks(), pa.array(mask), values)
            part = part.set_column(part.schema.get_field_index(name), name, new)
        yield part


def _without(embedded: Embedded, places: np.ndarray, path: Path) -> Embedded:
    """The rows except some, given by their places in the item table; the kept features are written to a file."""
    keep = ~np.isin(embedded.index, places)
    if keep.all():
        return embedded
    shape = {"descr": "<f2", "fortran_order": False, "shape": (int(keep.sum()), embedded.features.shape[1])}
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, shape)
        for start in range(0, len(keep), _PART_ROWS):
            part = slice(start, start + _PART_ROWS)
            file.write(np.asarray(embedded.features[part][keep[part]], "<f2").tobytes())
    return Embedded(embedded.index[keep], np.asarray(np.load(path, mmap_mode="r")))
