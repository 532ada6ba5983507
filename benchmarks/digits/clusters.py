"""The training digits in K clusters, as the shards and the vocabulary that experts are trained from.

<folder>/data/classifier.safetensors
<folder>/data/vocab.json                     the ten names
<folder>/data/cluster-0.parquet  ...         training rows of each cluster, one shard
<folder>/data/heldout-0.parquet  ...         some held-out rows nearest to each cluster, for the router's report
<folder>/data/clusters.json                  written last: sizes, digits of each cluster, agreement with the digits
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.digits.data import AUTHORS, LICENCE, NAMES, SOURCE, URL, Digits, DigitsError, as_gray
from benchmarks.digits.features import DigitClassifier
from benchmarks.digits.settings import DigitsSettings
from paris.coordinator.prepare.kmeans import cluster_features, distances
from paris.experts.data.shards import ClusterData, Row, write_shard
from paris.experts.files import write_whole
from paris.experts.frozen.text import write_vocabulary

_FINE_CENTROIDS = 256


def write_clusters(
    data: Path, settings: DigitsSettings, training: Digits, heldout: Digits, classifier: DigitClassifier
) -> dict[str, Any]:
    """Cluster the training part, put each held-out digit where it belongs, write all of it.

    Args:
        data: The data folder.
        settings: Number of clusters, seed, and what is clustered.
        training: The training part.
        heldout: The held-out part; takes no part in finding the clusters.
        classifier: Whose features are clustered, unless pixels are.

    Returns:
        What clusters.json says.

    Raises:
        DigitsError: A cluster is left without training or held-out rows.
    """
    seen, unseen = (_coordinates(settings, digits, classifier) for digits in (training, heldout))
    found = cluster_features(seen, settings.experts, _FINE_CENTROIDS, None, settings.seed)
    homes = np.argmin(distances(unseen, found.centroids), axis=1)
    every = len(heldout) // settings.router_heldout
    for k in range(settings.experts):
        _write(data / f"cluster-{k}.parquet", training.take(found.labels == k))
        _write(data / f"heldout-{k}.parquet", heldout.take(np.flatnonzero(homes == k)[::every]))
    write_vocabulary(data / "vocab.json", NAMES)
    counts = [np.bincount(training.labels[found.labels == k], minlength=10).tolist() for k in range(settings.experts)]
    facts = {
        "sizes": [sum(row) for row in counts],
        "digits": counts,
        "silhouette": round(found.silhouette.mean, 3),
        "heldout_sizes": np.bincount(homes, minlength=settings.experts).tolist(),
        "mutual_information": round(mutual_information(np.array(counts)), 3),
    }
    write_whole(data / "clusters.json", json.dumps(facts, indent=1).encode())
    return facts


def training_shard(data: Path, cluster: int) -> Path:
    """The training rows of one cluster."""
    return data / f"cluster-{cluster}.parquet"


def read_clusters(data: Path, num_clusters: int, part: str = "cluster") -> list[ClusterData]:
    """Each cluster's rows.

    Args:
        data: The data folder.
        num_clusters: K.
        part: "cluster" for training rows, "heldout" for held-out ones.
    """
    return [ClusterData([data / f"{part}-{k}.parquet"]) for k in range(num_clusters)]


def mutual_information(counts: np.ndarray) -> float:
    """How much clusters and digits say of each other, as a share of the mean of their entropies: 0 to 1.

    Args:
        counts: Pictures of each digit in each cluster `[K, 10]`.

    Source: Strehl and Ghosh, JMLR 3 (2002), with the arithmetic mean as the norm.
    """
    joint = counts / counts.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    shared = _expected_log(joint, joint) - _expected_log(joint, independent)
    entropies = [-_expected_log(margin, margin) for margin in (joint.sum(0), joint.sum(1))]
    return float(2 * shared / sum(entropies)) if sum(entropies) > 0 else 0.0


def _expected_log(weights: np.ndarray, values: np.ndarray) -> float:
    return float((weights[weights > 0] * np.log(values[weights > 0])).sum())


def _coordinates(settings: DigitsSettings, digits: Digits, classifier: DigitClassifier) -> np.ndarray:
    """What is clustered, float32 `[N, F]`."""
    if settings.clusters_by == "pixels":
        return as_gray(digits.pictures).reshape(len(digits), -1)
    return classifier.features(digits.pictures).astype(np.float32)


def _write(path: Path, digits: Digits) -> None:
    """One shard; the three channels of a picture are equal, since pixels have three here."""
    if not len(digits):
        raise DigitsError(f"{path.name} would have no digits.", "Ask for fewer experts.")
    rows = [
        Row(f"mnist-5k-{row}", np.repeat(picture[None], 3, axis=0), caption, SOURCE, URL, AUTHORS, LICENCE, "label")
        for row, picture, caption in zip(digits.rows, digits.pictures, digits.captions, strict=True)
    ]
    write_shard(path, rows, rows[0].latent.shape, "uint8")
