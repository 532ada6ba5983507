"""What samples are worth: distances from held-out data on a classifier's features, and whether they show their prompt.

The distance is the "Frechet distance on features of a classifier trained on this data"; see `distance.py` for what it
can be compared with. One judge a data set, for all seeds of training; what is clustered is seen by another classifier.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.small.classifier import Classifier, load_classifier, save_classifier, train_classifier
from benchmarks.small.datasets import load_split
from benchmarks.small.distance import floor, frechet_distance, sliced_wasserstein
from benchmarks.small.pictures import Pictures
from benchmarks.small.settings import SmallSettings
from paris.coordinator.report.distances import kernel_distance, precision_recall
from paris.experts.frozen.text import PromptWarning

Which = Literal["heldout", "train"]
_MANIFOLD_ROWS = 2000
"""Rows of either side that precision and recall are taken of: their cost is the product."""


@contextmanager
def new_words_expected() -> Iterator[None]:
    """Held-out names have words that no expert has met: meant so, and the same for all. No warnings meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PromptWarning)
        yield


class Judge:
    """Compares samples with both parts of the data.

    Args:
        classifier: What looks at them.
        training: The training part.
        heldout: The held-out part: near it, and not just near the training part, is where samples should be.
    """

    def __init__(self, classifier: Classifier, training: Pictures, heldout: Pictures) -> None:
        self.classifier, self.training, self.heldout = classifier, training, heldout

    @cached_property
    def features(self) -> dict[Which, np.ndarray]:
        """Of each part of the data, float64 `[N, 64]`."""
        parts: dict[Which, Pictures] = {"heldout": self.heldout, "train": self.training}
        return {which: self.classifier.features(pictures.pixels) for which, pictures in parts.items()}

    def prompts(self, num_pictures: int) -> np.ndarray:
        """Places of the held-out rows whose captions are asked for `[N]`: in the data's own proportions, mixed."""
        order = np.random.default_rng([17]).permutation(len(self.heldout))
        return np.resize(order, num_pictures)

    def frechet_of(self, pictures: np.ndarray, which: Which = "heldout") -> float:
        """Frechet distance of pictures from data, on the classifier's standardised features.

        Args:
            pictures: As `unit_pixels` takes them; several hundred at least.
            which: "heldout" or "train".
        """
        return frechet_distance(self.classifier.features(pictures), self.features[which])

    def floor_of(self, num_pictures: int) -> float:
        """`frechet_of` training pictures, as many as there are samples: what perfect samples would get."""
        return floor(self.features["train"], self.features["heldout"], num_pictures)

    def recognised(self, pictures: np.ndarray, labels: np.ndarray) -> float:
        """Share of pictures in which the classifier sees the class that was asked for."""
        return float((self.classifier.classify(pictures) == labels).mean())

    def figures(self, pictures: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """All figures of a set of samples.

        Args:
            pictures: As `frechet_of` takes them.
            labels: Class that each was asked for `[N]`.
        """
        samples, heldout = self.classifier.features(pictures), self.features["heldout"]
        near = precision_recall(_some(heldout), _some(samples))
        return {
            "num_samples": len(samples),
            "frechet": round(frechet_distance(samples, heldout), 3),
            "frechet_train": round(frechet_distance(samples, self.features["train"]), 3),
            "kernel": round(kernel_distance(samples, heldout), 4),
            "precision": round(near.precision, 3),
            "recall": round(near.recall, 3),
            "sliced_wasserstein": round(sliced_wasserstein(samples, heldout), 3),
            "recognised": round(self.recognised(pictures, labels), 3),
        }


def open_judge(folder: Path, settings: SmallSettings) -> Judge:
    """The data set's judge; trained where it is not there.

    Args:
        folder: The benchmark's folder.
        settings: The folder's.
    """
    parts = load_split(settings.dataset)
    return Judge(_classifier(folder / "data" / "judge.safetensors", settings, parts[0], 0), *parts)


def open_scout(folder: Path, settings: SmallSettings) -> Classifier:
    """The classifier whose features are clustered: another one than the judge, so that no arm is made to please it."""
    training = load_split(settings.dataset)[0]
    return _classifier(folder / "data" / "scout.safetensors", settings, training, 1000 + settings.seed)


def _classifier(path: Path, settings: SmallSettings, training: Pictures, seed: int) -> Classifier:
    side_px, num_classes = settings.data.side_px, len(settings.data.classes)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_classifier(path, train_classifier(training, num_classes, seed, settings.epochs))
    return load_classifier(path, side_px, num_classes)


def _some(rows: np.ndarray) -> np.ndarray:
    """At most 2,000 rows, spread over all of them: the data is sorted by class."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MANIFOLD_ROWS)).round().astype(int)]
