"""Fashion-MNIST: 70,000 pieces of clothing, out of Debian's package `dataset-fashion-mnist`.

Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from benchmarks.small.pictures import Pictures, SmallDataError, gray_pixels

SIDE_PX = 16
NAMES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
CREDIT = ("Fashion-MNIST", "https://github.com/zalandoresearch/fashion-mnist", "Zalando SE", "MIT")
_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_IDX_UNSIGNED_BYTES = 8


def read(folder: Path = _FOLDER) -> Pictures:
    """All 70,000: the 60,000 of the training files, then the 10,000 of the test files.

    Args:
        folder: Where the package puts them.

    Raises:
        SmallDataError: The package is not installed, or a file is not what it should be.
    """
    parts = [(_idx(folder, f"{part}-images-idx3"), _idx(folder, f"{part}-labels-idx1")) for part in ("train", "t10k")]
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    pixels = np.concatenate([gray_pixels(pictures, SIDE_PX) for pictures, _ in parts])
    return Pictures(np.arange(len(labels)), pixels, labels, tuple(NAMES[label] for label in labels))


def _idx(folder: Path, name: str) -> np.ndarray:
    """One IDX file: two zero bytes, the type, the number of axes, their lengths as big-endian int32, the values."""
    path = folder / f"{name}-ubyte.gz"
    if not path.is_file():
        raise SmallDataError(f"{path} is missing.", "Run apt-get install dataset-fashion-mnist.")
    data = gzip.decompress(path.read_bytes())
    if len(data) < 4 or data[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTES]):
        raise SmallDataError(f"{path} is not an IDX file of bytes.", "Install dataset-fashion-mnist again.")
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
