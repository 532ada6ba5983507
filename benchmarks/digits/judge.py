"""What samples are worth: distances from data on the classifier's features, and whether they show their prompt's digit.

The distance here is the "Frechet distance on features of a classifier trained on this data"; see `distance.py` for
what it can be compared with.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from benchmarks.digits.data import NAMES, Digits
from benchmarks.digits.distance import (
    floor,
    frechet_distance,
    kernel_distance,
    precision_recall,
    sliced_wasserstein,
)
from benchmarks.digits.features import DigitClassifier

Which = Literal["heldout", "train"]


class Judge:
    """Compares samples with both parts of the data.

    Args:
        classifier: What looks at them.
        training: The training part.
        heldout: The held-out part: near it, and not just near the training part, is where samples should be.
    """

    def __init__(self, classifier: DigitClassifier, training: Digits, heldout: Digits) -> None:
        self.classifier, self.training, self.heldout = classifier, training, heldout

    @cached_property
    def features(self) -> dict[Which, np.ndarray]:
        """Of each part of the data, float64 `[N, 64]`."""
        parts: dict[Which, Digits] = {"heldout": self.heldout, "train": self.training}
        return {which: self.classifier.features(digits.pictures) for which, digits in parts.items()}

    def frechet_of(self, pictures: np.ndarray, which: Which = "heldout") -> float:
        """Frechet distance of pictures from data, on the classifier's standardised features.

        Args:
            pictures: `[N, 16, 16]` or `[N, 16, 16, 3]`, uint8 or floats in [0, 1]. Digits in even shares, as the
                data has them; several hundred at least.
            which: "heldout" (1,000 digits that nothing was trained on) or "train" (4,000).
        """
        return frechet_distance(self.classifier.features(pictures), self.features[which])

    def floor_of(self, num_pictures: int, which: Which = "heldout") -> float:
        """`frechet_of` real pictures of the other part, as many as there are samples: what perfect samples would get.

        Args:
            num_pictures: At most 4,000 against "heldout", 1,000 against "train".
            which: As in `frechet_of`.
        """
        other: Which = "train" if which == "heldout" else "heldout"
        return floor(self.features[other], self.features[which], num_pictures)

    def recognised(self, pictures: np.ndarray, labels: np.ndarray) -> float:
        """Share of pictures in which the classifier sees the digit that was asked for."""
        return float((self.classifier.classify(pictures) == labels).mean())

    def figures(self, pictures: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """All figures of a set of samples.

        Args:
            pictures: As `frechet_of` takes them.
            labels: Digit that each was asked for `[N]`.
        """
        samples, heldout = self.classifier.features(pictures), self.features["heldout"]
        near = precision_recall(heldout[_even_rows(len(heldout), len(samples))], samples)
        return {
            "num_samples": len(samples),
            "frechet_heldout": round(frechet_distance(samples, heldout), 3),
            "frechet_train": round(frechet_distance(samples, self.features["train"]), 3),
            "kernel": round(kernel_distance(samples, heldout), 4),
            "precision": round(near.precision, 3),
            "recall": round(near.recall, 3),
            "sliced_wasserstein": round(sliced_wasserstein(samples, heldout), 3),
            "recognised": round(self.recognised(pictures, labels), 3),
        }


def prompts_for(num_pictures: int) -> tuple[list[str], np.ndarray]:
    """Names of digits in even shares, and the digits, one a picture: what figures are taken of."""
    labels = np.arange(num_pictures) % len(NAMES)
    return [NAMES[label] for label in labels], labels


def _even_rows(num_rows: int, wanted: int) -> np.ndarray:
    """At most `wanted` of the rows, spread over all of them: the data is sorted by digit."""
    return np.linspace(0, num_rows - 1, min(num_rows, wanted)).round().astype(int)
