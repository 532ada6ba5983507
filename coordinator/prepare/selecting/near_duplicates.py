"""Near duplicates: pictures whose perceptual hashes differ in a few bits, with the same colours in the same places.

Two hashes that differ in at most d bits agree in at least one of d + 1 pieces of their bits, so only hashes that share
a piece are compared: faiss's multi-index hashing (IndexBinaryMultiHash). The hash alone ignores colours and small
parts: most of its pairs among emoji are different icons, hearts of several colours or faces with other mouths. Mean
colours on a grid of 8x8 distinguish all of those (benchmarks/near_duplicates.py).

Source: Norouzi, Punjani, Fleet 2012, Fast Search in Hamming Space with Multi-Index Hashing, section 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, islice

import imagehash
import numpy as np
from PIL import Image

GRID = 8
MAX_LEVELS = 12
_BITS = 64
_QUERY_ROWS = 8192
_KEPT_A_HASH = 64
_COMPARED = 512


def hash_picture(pixels: np.ndarray) -> tuple[int, bytes]:
    """Perceptual hash and mean colours of one picture.

    Args:
        pixels: uint8 `[3, S, S]`.

    Returns:
        64 bits of the low frequencies; the means, uint8 `[GRID, GRID, 3]` as bytes.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    bits = np.packbits(imagehash.phash(picture).hash.flatten())
    means = picture.resize((GRID, GRID), Image.Resampling.BOX)
    return int.from_bytes(bits.tobytes(), "big"), means.tobytes()


def near_duplicates(hashes: np.ndarray, colours: Callable[[Sequence[int]], np.ndarray], max_bits: int) -> np.ndarray:
    """For each row the earlier row of which it is a near duplicate.

    Rows are compared in order, and only with earlier rows that are kept, so that no chain of small steps merges two
    different pictures. Thousands of pictures with little detail may share a hash: each is compared with the first few
    hundred of them, so that the cost stays linear.

    Args:
        hashes: uint64 `[N]`.
        colours: Maps n rows to their mean colours, uint8 `[n, 3 * GRID * GRID]`.
        max_bits: Largest number of differing bits of near duplicates, of 64.

    Returns:
        int64 `[N]`: place of the first kept near duplicate, or -1 for the rows that are kept.
    """
    values, place, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    limits, near = _near_values(values, max_bits)
    is_alone = (counts == 1) & (np.diff(limits) == 1)
    found = np.full(len(hashes), -1, np.int64)
    kept: defaultdict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(~is_alone[place]).tolist():
        value = int(place[row])
        others = near[limits[value] : limits[value + 1]].tolist()
        earlier = list(islice(chain.from_iterable(kept[other] for other in others), _COMPARED))
        found[row] = _first_alike(row, earlier, colours)
        if found[row] < 0 and len(kept[value]) < _KEPT_A_HASH:
            kept[value].append(row)
    return found


def _first_alike(row: int, earlier: list[int], colours: Callable[[Sequence[int]], np.ndarray]) -> int:
    """The first of the earlier rows with the colours of this one, or -1."""
    if not earlier:
        return -1
    apart = np.abs(colours(earlier).astype(np.int16) - colours([row])).max(axis=1)
    return min(
        (other for other, levels in zip(earlier, apart.tolist(), strict=True) if levels <= MAX_LEVELS), default=-1
    )


def _near_values(values: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each distinct hash, itself included: `near[limits[i] : limits[i + 1]]` for hash i."""
    import faiss

    if not max_bits:
        return np.arange(len(values) + 1), np.arange(len(values))
    pieces = max_bits + 1
    codes = np.ascontiguousarray(values.astype("<u8")).view(np.uint8).reshape(-1, _BITS // 8)
    index = faiss.IndexBinaryMultiHash(_BITS, pieces, _BITS // pieces)
    index.add(codes)
    counts, near = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(values), _QUERY_ROWS):
        limits, _, found = index.range_search(codes[start : start + _QUERY_ROWS], max_bits + 1)  # the radius is open
        counts.append(np.diff(limits).astype(np.int64))
        near.append(found)
    return np.cumsum(np.concatenate(counts)), np.concatenate(near)
