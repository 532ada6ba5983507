"""Fashion-MNIST: 70,000 pieces of clothing, out of Debian's package `dataset-fashion-mnist`.

Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.small.pictures import Pictures, SmallDataError, gray_pixels
from paris.coordinator.demo.fashion import CLASSES, INSTALLED, read_clothing
from paris.coordinator.prepare.errors import PrepareError

SIDE_PX = 16
NAMES = CLASSES
CREDIT = ("Fashion-MNIST", "https://github.com/zalandoresearch/fashion-mnist", "Zalando SE", "MIT")


def read(folder: Path = INSTALLED) -> Pictures:
    """All 70,000: the 60,000 of the training files, then the 10,000 of the test files.

    Args:
        folder: Where the package puts them.

    Raises:
        SmallDataError: The package is not installed, or a file is not what it should be.
    """
    try:
        clothing = read_clothing(folder)
    except PrepareError as error:
        raise SmallDataError(error.what, error.next_step) from error
    labels = clothing.labels.astype(np.int64)
    pixels = gray_pixels(clothing.pixels, SIDE_PX)
    return Pictures(np.arange(len(labels)), pixels, labels, tuple(NAMES[label] for label in labels))
