"""A bounded sample of the rows, drawn while they are listed, then decoded as `prepare` decodes them.

The same files give the same sample. Rows of Parquet files are drawn in blocks, because only whole row groups can be
read: 512 single rows might mean 512 row groups.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from paris.coordinator.prepare.compute.picture_formats import formats
from paris.coordinator.prepare.compute.pictures import DroppedPicture, PictureLimits, decode_picture
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.selecting.near_duplicates import GRID, hash_picture, near_duplicates
from paris.coordinator.prepare.sources.row_bytes import RowBytes
from paris.coordinator.prepare.sources.settings import HubSource, OwnSource, ParquetSource
from paris.coordinator.proposal.findings import Pictures

SAMPLE_ROWS = 512
_BLOCK_ROWS = 32
_READ_ROWS = 32
_VIEW_PX = 128
_NEAR_BITS = 6
_THREADS = 4
_HUB_BYTES, _LOCAL_BYTES = 2**28, 2**31
"""Of all row groups that are read for a sample."""


class RowSample:
    """Draws rows evenly from a stream of unknown length (Vitter 1985, algorithm R, on blocks of rows).

    Args:
        source: Decides the size of a block.
        num_rows: Rows to draw.
    """

    def __init__(self, source: OwnSource, num_rows: int = SAMPLE_ROWS) -> None:
        self._block_rows = _BLOCK_ROWS if isinstance(source, HubSource | ParquetSource) else 1
        self._blocks: dict[int, list[Item]] = {}
        self._places: list[int] = []
        self._most = max(1, num_rows // self._block_rows)
        self._random = random.Random(0)
        self._rows = 0
        self._taken: list[Item] | None = None

    def add(self, item: Item) -> None:
        """Show one row to the sample."""
        number, place = divmod(self._rows, self._block_rows)
        if place == 0:
            self._taken = self._open(number)
        if self._taken is not None:
            self._taken.append(item)
        self._rows += 1

    def rows(self) -> list[Item]:
        """The drawn rows, in their order in the source."""
        return [item for number in sorted(self._places) for item in self._blocks[number]]

    def _open(self, number: int) -> list[Item] | None:
        """The list of a new block, or None if it is not drawn."""
        if len(self._places) < self._most:
            self._places.append(number)
        else:
            slot = self._random.randrange(number + 1)
            if slot >= self._most:
                return None
            del self._blocks[self._places[slot]]
            self._places[slot] = number
        return self._blocks.setdefault(number, [])


@dataclass(frozen=True)
class _Look:
    """One decoded picture."""

    fault: str = ""
    width: int = 0
    height: int = 0
    form: str = ""
    sha256: bytes = b""
    phash: int = 0
    colours: bytes = b""


def look_at(rows: Sequence[Item], source: OwnSource, progress: Callable[[int, int], None]) -> Pictures:
    """Decode the sampled rows.

    Args:
        rows: The sample.
        source: Where they are.
        progress: Called with (done, total).

    Raises:
        SourceUnreachableError: The Hub refused or did not answer.
    """
    looks = list(_looks(rows, source, progress))
    seen = [look for look in looks if not look.fault]
    first_of: dict[bytes, _Look] = {}
    for look in seen:
        first_of.setdefault(look.sha256, look)
    unique = list(first_of.values())
    return Pictures(
        sampled=len(looks),
        sides=tuple(sorted(min(look.width, look.height) for look in seen)),
        aspects=tuple(sorted(max(look.width, look.height) / min(look.width, look.height) for look in seen)),
        faults=dict(Counter(look.fault for look in looks if look.fault).most_common()),
        duplicates=len(seen) - len(unique),
        near_duplicates=_num_near(unique),
        formats=dict(Counter(look.form for look in seen).most_common()),
    )


def _looks(rows: Sequence[Item], source: OwnSource, progress: Callable[[int, int], None]) -> Iterator[_Look]:
    reader = RowBytes(source if isinstance(source, HubSource) else None)
    rows = within_budget(rows, reader, _HUB_BYTES if isinstance(source, HubSource) else _LOCAL_BYTES)
    done = 0
    with ThreadPoolExecutor(_THREADS) as threads:
        for some in _batches(rows):
            yield from threads.map(_look, reader.read([item.location for item in some]))
            done += len(some)
            progress(done, len(rows))


def within_budget(rows: Sequence[Item], reader: RowBytes, max_bytes: int) -> list[Item]:
    """The rows whose row groups can be read with a bounded number of bytes; at least those of one row group.

    Args:
        rows: The sample.
        reader: Knows the sizes of row groups.
        max_bytes: Bytes of all row groups together.
    """
    groups = [reader.row_group(item.location) for item in rows]
    sizes = {found[0]: found[1] for found in groups if found is not None}
    order = sorted(sizes)
    random.Random(0).shuffle(order)
    kept, total = set[tuple[str, int]](), 0
    for group in order:
        if kept and total + sizes[group] > max_bytes:
            break
        kept.add(group)
        total += sizes[group]
    return [item for item, found in zip(rows, groups, strict=True) if found is None or found[0] in kept]


def _batches(rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (rows[start : start + _READ_ROWS] for start in range(0, len(rows), _READ_ROWS))


def _look(data: bytes | None) -> _Look:
    limits = PictureLimits(min_side_px=1, max_image_pixels=64_000_000)
    try:
        pixels = decode_picture(data, _VIEW_PX, limits)
        with Image.open(io.BytesIO(data or b""), formats=formats()) as image:
            width, height, form = *image.size, f"{image.format} {image.mode}"
    except DroppedPicture as dropped:
        return _Look(fault=dropped.reason)
    phash, colours = hash_picture(pixels)
    return _Look("", width, height, form, hashlib.sha256(data or b"").digest(), phash, colours)


def _num_near(looks: Sequence[_Look]) -> int:
    """Pictures that are nearly an earlier one."""
    if not looks:
        return 0
    colours = np.frombuffer(b"".join(look.colours for look in looks), np.uint8).reshape(-1, 3 * GRID * GRID)
    hashes = np.array([look.phash for look in looks], np.uint64)
    found = near_duplicates(hashes, lambda wanted: colours[list(wanted)], _NEAR_BITS)
    return int((found >= 0).sum())
