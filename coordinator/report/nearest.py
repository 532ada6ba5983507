"""The training row nearest to a picture, and whether the picture is a copy of it.

Distances are root mean squares of the differences between model inputs, so of pixels in [-1, 1] or of latents.

Shapes: N pictures, M training rows; `*shape` of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COPY_RATIO = 1 / 3
"""A picture is a copy if its nearest training row is less than this share as far away as the second nearest.

Source: Gu et al., On Memorization in Diffusion Models, arXiv 2310.02664, section 2.
"""
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Nearest:
    """The training rows nearest to some pictures."""

    places: NDArray[np.int64]
    """Place of the nearest row `[N]`."""
    distance: NDArray[np.float64]
    """To the nearest row `[N]`."""
    second: NDArray[np.float64]
    """To the second nearest row `[N]`; infinite if there is only one."""

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        """Whether each picture is a copy `[N]`."""
        return np.asarray((self.distance < COPY_RATIO * self.second) | (self.distance == 0))


def find_nearest(
    pictures: np.ndarray,
    blocks: Iterable[tuple[int, np.ndarray]],
    to_model: Callable[[np.ndarray], np.ndarray],
) -> Nearest:
    """Find the nearest of all training rows, block by block.

    Args:
        pictures: Model inputs, float `[N, *shape]`.
        blocks: Place of the first row, and stored rows `[m, *shape]`, as of `TrainingRows.blocks`.
        to_model: From stored rows to model inputs.
    """
    queries = pictures.reshape(len(pictures), -1).astype(np.float32)
    two = np.full((len(queries), 2), np.inf)
    places = np.zeros((len(queries), 2), np.int64)
    for first, stored in blocks:
        for begin in range(0, len(stored), _BLOCK_ROWS):
            rows = to_model(stored[begin : begin + _BLOCK_ROWS]).reshape(-1, queries.shape[1]).astype(np.float32)
            found = np.concatenate([two, _mean_squares(queries, rows)], axis=1)
            numbers = np.broadcast_to(np.arange(len(rows)) + first + begin, (len(queries), len(rows)))
            best = np.argsort(found, axis=1, kind="stable")[:, :2]
            two = np.take_along_axis(found, best, axis=1)
            places = np.take_along_axis(np.concatenate([places, numbers], axis=1), best, axis=1)
    roots = np.sqrt(two)
    return Nearest(places[:, 0], roots[:, 0], roots[:, 1])


def _mean_squares(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean squared difference of each pair `[N, m]`; of equal rows exactly 0, which the expansion alone would miss."""
    squares = (first**2).sum(1, dtype=np.float64)[:, None] + (second**2).sum(1, dtype=np.float64)
    found = np.maximum(squares - 2.0 * (first @ second.T), 0.0) / first.shape[1]
    for row, column in np.argwhere(found < 1e-6):
        found[row, column] = np.square(first[row] - second[column], dtype=np.float64).mean()
    return np.asarray(found, np.float64)
