"""The training part in K clusters, in several ways, as the shards that experts are trained from.

"all-1"         no clusters: what the monolith learns from
"semantic-4"    two-stage k-means over what a scout sees in the pictures; a classifier, but not the one that judges
"even-4"        the same with sizes evened out
"pixels-4"      over the pixels: clusters of shape and colour
"random-4"      rows dealt out at random: clusters without a meaning
"overlap-4"     as semantic; a row that a second cluster is nearly as close to teaches both

<folder>/data/semantic-4/cluster-0.parquet ...   training rows of each cluster, one shard
<folder>/data/semantic-4/heldout-0.parquet ...   some held-out rows nearest to each cluster, for the router's report
<folder>/data/semantic-4/homes.npy               cluster of each held-out row, in the split's order
<folder>/data/semantic-4/clusters.json           written last: sizes, classes, agreement with the classes
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.small.classifier import Classifier
from benchmarks.small.pictures import Pictures, SmallDataError, unit_pixels
from benchmarks.small.settings import SmallSettings
from paris.coordinator.prepare.clustering.balance import balanced_labels
from paris.coordinator.prepare.clustering.kmeans import cluster_features, distances
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import Row, write_shard
from paris.experts.files import whole_file, write_whole

KINDS = ("all", "semantic", "even", "pixels", "random", "overlap")
_FINE_CENTROIDS = 256
_BALANCE = 1.1
_OVERLAP = 1.15
"""Times the distance to the nearest centroid, within which a second one is close too."""


def num_clusters(clustering: str) -> int:
    """K of a clustering's name.

    Raises:
        SmallDataError: Not such a name.
    """
    kind, _, count = clustering.partition("-")
    if kind not in KINDS or not count.isdigit() or int(count) < 1:
        raise SmallDataError(f"Unknown clustering {clustering!r}.", f"Names are KIND-K, with {', '.join(KINDS)}.")
    return int(count)


def write_clusters(
    folder: Path, clustering: str, settings: SmallSettings, parts: tuple[Pictures, Pictures], scout: Classifier
) -> dict[str, Any]:
    """Cluster the training part, put each held-out picture where it belongs, write all of it; or read what is there.

    Args:
        folder: The benchmark's folder.
        clustering: Its name.
        settings: Seed, and the data set.
        parts: The training part and the held-out part, which takes no part in finding the clusters.
        scout: What looks at the pictures for "semantic", "even" and "overlap".

    Returns:
        The content of clusters.json.

    Raises:
        SmallDataError: A cluster is left without training or held-out rows.
    """
    target = folder / "data" / clustering
    if (target / "clusters.json").is_file():
        return dict(json.loads((target / "clusters.json").read_bytes()))
    training, heldout = parts
    members, homes = _found(clustering, settings, parts, scout)
    every = max(1, len(heldout) // settings.router_heldout)
    for k, rows in enumerate(members):
        _write(target / f"cluster-{k}.parquet", settings, training.take(rows))
        _write(target / f"heldout-{k}.parquet", settings, heldout.take(np.flatnonzero(homes == k)[::every]))
    with whole_file(target / "homes.npy") as partial, partial.open("wb") as file:
        np.save(file, homes, allow_pickle=False)
    classes = len(settings.data.classes)
    counts = [np.bincount(training.labels[rows], minlength=classes).tolist() for rows in members]
    facts = {
        "sizes": [len(rows) for rows in members],
        "classes": counts,
        "heldout_sizes": np.bincount(homes, minlength=len(members)).tolist(),
        "mutual_information": round(mutual_information(np.array(counts)), 3),
    }
    write_whole(target / "clusters.json", json.dumps(facts, indent=1).encode())
    return facts


def shard(folder: Path, clustering: str, cluster: int) -> Path:
    """The training rows of one cluster."""
    return folder / "data" / clustering / f"cluster-{cluster}.parquet"


def read_clusters(folder: Path, clustering: str, part: str = "cluster") -> list[ClusterData]:
    """Each cluster's rows.

    Args:
        folder: The benchmark's folder.
        clustering: Its name.
        part: "cluster" for training rows, "heldout" for held-out ones.
    """
    where = folder / "data" / clustering
    return [ClusterData([where / f"{part}-{k}.parquet"]) for k in range(num_clusters(clustering))]


def heldout_homes(folder: Path, clustering: str) -> np.ndarray:
    """Cluster of each held-out row, int64 `[M]`, in the split's order."""
    return np.load(folder / "data" / clustering / "homes.npy", allow_pickle=False)


def mutual_information(counts: np.ndarray) -> float:
    """How much clusters and classes say of each other, as a share of the mean of their entropies: 0 to 1.

    Args:
        counts: Pictures of each class in each cluster `[K, C]`.

    Source: Strehl and Ghosh, JMLR 3 (2002), with the arithmetic mean as the norm.
    """
    joint = counts / counts.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    shared = _expected_log(joint, joint) - _expected_log(joint, independent)
    entropies = [-_expected_log(margin, margin) for margin in (joint.sum(0), joint.sum(1))]
    return float(2 * shared / sum(entropies)) if sum(entropies) > 0 else 0.0


def _expected_log(weights: np.ndarray, values: np.ndarray) -> float:
    return float((weights[weights > 0] * np.log(values[weights > 0])).sum())


def _found(
    clustering: str, settings: SmallSettings, parts: tuple[Pictures, Pictures], scout: Classifier
) -> tuple[Sequence[np.ndarray], np.ndarray]:
    """Training rows of each cluster, and the cluster of each held-out row."""
    kind, count = clustering.partition("-")[0], num_clusters(clustering)
    if kind in ("all", "random"):
        generator = np.random.default_rng([settings.seed, count, 13])
        labels, homes = (generator.permutation(len(part)) % count for part in parts)
        return [np.flatnonzero(labels == k) for k in range(count)], homes
    seen, unseen = (_coordinates(kind, part, scout) for part in parts)
    found = cluster_features(seen, count, _FINE_CENTROIDS, None, settings.seed)
    labels, away = found.labels, distances(unseen, found.centroids)
    if kind == "even":
        labels = balanced_labels(distances(seen, found.centroids), _BALANCE)
    members = [np.flatnonzero(labels == k) for k in range(count)]
    if kind == "overlap":
        near = distances(seen, found.centroids)
        members = [np.flatnonzero(column <= _OVERLAP**2 * near.min(1)) for column in near.T]
    return members, np.argmin(away, axis=1)


def _coordinates(kind: str, pictures: Pictures, scout: Classifier) -> np.ndarray:
    """What is clustered, float32 `[N, F]`."""
    if kind == "pixels":
        return unit_pixels(pictures.pixels).reshape(len(pictures), -1)
    return scout.features(pictures.pixels).astype(np.float32)


def _write(path: Path, settings: SmallSettings, pictures: Pictures) -> None:
    if not len(pictures):
        raise SmallDataError(f"{path.name} would have no pictures.", "Ask for fewer clusters.")
    source, url, authors, licence = settings.data.credit
    rows = [
        Row(
            f"{settings.dataset}-{row}",
            pixels[..., : settings.channels].transpose(2, 0, 1).copy(),
            caption,
            source,
            url,
            authors,
            licence,
            "label",
        )
        for row, pixels, caption in zip(pictures.rows, pictures.pixels, pictures.captions, strict=True)
    ]
    write_shard(path, rows, rows[0].latent.shape, "uint8")
