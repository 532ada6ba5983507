"""Pictures that are nearly the same: 64-bit perceptual hashes a few bits apart, found without comparing all pairs.

Two hashes that differ in at most d bits agree in at least one of d + 1 pieces of their bits, so only hashes that share
a piece are compared: faiss's multi-index hashing (IndexBinaryMultiHash).

Source: Norouzi, Punjani, Fleet 2012, Fast Search in Hamming Space with Multi-Index Hashing, section 2.
"""

from __future__ import annotations

import numpy as np

_BITS = 64
_QUERY_ROWS = 8192


def near_duplicates(hashes: np.ndarray, max_bits: int) -> np.ndarray:
    """For each row the earlier row that it nearly doubles.

    Rows are looked at in order; one is a near duplicate if a kept earlier one is near, so that no chain of small steps
    makes two different pictures one.

    Args:
        hashes: uint64 `[N]`.
        max_bits: Near means that at most so many of the 64 bits differ.

    Returns:
        int64 `[N]`: place of the first kept row that is near, or -1 for the rows that are kept.
    """
    # The same hash very often (all white pictures) would put all its rows into one bucket: each is searched once.
    values, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # of the distinct hashes: by their first row
    original = _among_distinct(values[order], max_bits) if max_bits else np.full(len(values), -1, np.int64)
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    own = rank[place]
    kept = np.where(original[own] >= 0, original[own], own)
    found = first[order[kept]]
    return np.where(found == np.arange(len(hashes)), -1, found)


def _among_distinct(values: np.ndarray, max_bits: int) -> np.ndarray:
    """As `near_duplicates`, of distinct hashes."""
    import faiss

    pieces = max_bits + 1
    codes = np.ascontiguousarray(values.astype("<u8")).view(np.uint8).reshape(-1, _BITS // 8)
    index = faiss.IndexBinaryMultiHash(_BITS, pieces, _BITS // pieces)
    index.add(codes)
    original = np.full(len(values), -1, np.int64)
    for start in range(0, len(values), _QUERY_ROWS):
        limits, _, near = index.range_search(codes[start : start + _QUERY_ROWS], max_bits + 1)  # the radius is open
        rows = np.repeat(np.arange(start, start + len(limits) - 1), np.diff(limits).astype(np.int64))
        earlier = near < rows
        _judge(rows[earlier], near[earlier], original)
    return original


def _judge(rows: np.ndarray, near: np.ndarray, original: np.ndarray) -> None:
    """Set `original` of each row that has a kept earlier neighbour; neighbours' own words are final already."""
    order = np.lexsort((near, rows))
    for row, other in zip(rows[order].tolist(), near[order].tolist(), strict=True):
        if original[row] < 0 and original[other] < 0:
            original[row] = other
