"""Pictures that are nearly the same: perceptual hashes a few bits apart, and the same colours in the same places.

Two hashes that differ in at most d bits agree in at least one of d + 1 pieces of their bits, so only hashes that share
a piece are compared: faiss's multi-index hashing (IndexBinaryMultiHash). The hash alone sees no colour and no small
parts: most pairs that it finds among emoji are different icons, hearts of several colours or faces with other mouths.
Mean colours on a grid of 8x8 tell all of those apart (benchmarks/near_duplicates.py).

Source: Norouzi, Punjani, Fleet 2012, Fast Search in Hamming Space with Multi-Index Hashing, section 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, islice

import numpy as np

GRID = 8
MAX_LEVELS = 12
_BITS = 64
_QUERY_ROWS = 8192
_KEPT_A_HASH = 64
_COMPARED = 512


def near_duplicates(hashes: np.ndarray, colours: Callable[[Sequence[int]], np.ndarray], max_bits: int) -> np.ndarray:
    """For each row the earlier row that it nearly doubles.

    Rows are looked at in order; one is a near duplicate if a kept earlier one is near, so that no chain of small steps
    makes two different pictures one. Pictures with next to no detail may share a hash by the thousand: each is compared
    with the first few hundred of them, so that no pile of pictures makes this quadratic.

    Args:
        hashes: uint64 `[N]`.
        colours: From n rows to their mean colours, uint8 `[n, 3 * GRID * GRID]`.
        max_bits: Near means that at most so many of the 64 bits differ.

    Returns:
        int64 `[N]`: place of the first kept row that is near, or -1 for the rows that are kept.
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
    """The first of some rows with the colours of a row; -1 where there is none."""
    if not earlier:
        return -1
    apart = np.abs(colours(earlier).astype(np.int16) - colours([row])).max(axis=1)
    return min(
        (other for other, levels in zip(earlier, apart.tolist(), strict=True) if levels <= MAX_LEVELS), default=-1
    )


def _near_values(values: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the distinct hashes are near each, itself among them: `near[limits[i] : limits[i + 1]]` for hash i."""
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
