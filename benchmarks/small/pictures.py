"""Captioned pictures in memory, and their two parts.

Shapes: N pictures, S side in pixels; three channels always, equal ones where the source is gray.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paris.experts.errors import ExpertError


class SmallDataError(ExpertError):
    """A data set is not there, or a folder does not hold what the command asks for."""


@dataclass(frozen=True)
class Pictures:
    """Some pictures, what each shows, and which class it belongs to.

    Args:
        rows: Number of each picture in its source, int64 `[N]`: the same picture has the same number in every split.
        pixels: uint8 `[N, S, S, 3]`.
        labels: The class, int64 `[N]`.
        captions: One a picture.
    """

    rows: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Pictures:
        """Some of them, by place or by a mask."""
        places = np.flatnonzero(index) if index.dtype == bool else index
        captions = tuple(self.captions[place] for place in places)
        return Pictures(self.rows[places], self.pixels[places], self.labels[places], captions)


def split(every: Pictures, num_heldout: int, seed: int) -> tuple[Pictures, Pictures]:
    """Two parts, the second with about as many of each class as the whole has.

    Args:
        every: All pictures.
        num_heldout: How many are held out.
        seed: Which.

    Returns:
        The training part and the held-out part, in the source's order.
    """
    generator = np.random.default_rng([seed, 5])
    is_heldout = np.zeros(len(every), bool)
    for label in np.unique(every.labels):
        places = generator.permutation(np.flatnonzero(every.labels == label))
        is_heldout[places[: round(num_heldout * len(places) / len(every))]] = True
    return every.take(~is_heldout), every.take(is_heldout)


def shrink(pictures: np.ndarray, size: int) -> np.ndarray:
    """Resize by area: each new pixel is the mean of the old ones under it, in parts where they lie across its edge.

    Args:
        pictures: `[N, S, S]`.
        size: New side, px, at most S.

    Returns:
        float64 `[N, size, size]`, of the same mean as `pictures`.
    """
    before = pictures.shape[1]
    edges = np.linspace(0, before, size + 1)
    old = np.arange(before)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    share = np.clip(overlap, 0, None) * (size / before)
    return share @ pictures @ share.T


def gray_pixels(pictures: np.ndarray, size: int) -> np.ndarray:
    """Gray pictures `[N, S, S]` of 0 to 255, resized, as uint8 `[N, size, size, 3]` of three equal channels."""
    blocks = [
        shrink(block, size).round().astype(np.uint8) for block in np.array_split(pictures, -(-len(pictures) // 4096))
    ]
    return np.repeat(np.concatenate(blocks)[..., None], 3, axis=3)


def unit_pixels(pictures: np.ndarray) -> np.ndarray:
    """Pictures as any part of this benchmark has them, in one form.

    Args:
        pictures: uint8, or floats in [0, 1], `[N, S, S, 3]`.

    Returns:
        float32 in [0, 1], `[N, S, S, 3]`.

    Raises:
        SmallDataError: Another shape.
    """
    found = np.asarray(pictures)
    if found.ndim != 4 or found.shape[3] != 3 or found.shape[1] != found.shape[2]:
        raise SmallDataError(f"Pictures are [N, S, S, 3], not {list(found.shape)}.")
    return (found / (255.0 if found.dtype == np.uint8 else 1.0)).astype(np.float32)
