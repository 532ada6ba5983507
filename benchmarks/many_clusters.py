"""Time and balance of clustering into many clusters: `python -m benchmarks.many_clusters`.

Made features: rows around many centres of unequal weight. Up to 256 clusters are found at once, more in two levels: 256
and 272 compare the two. Writes benchmarks/results/many_clusters.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import as_table, write_result
from paris.coordinator.prepare.clustering.kmeans import MOST_AT_ONCE, cluster_features

_CLUSTERS = (64, 256, 272, 512, 1024)
_FINE, _BALANCE, _SEED = 1024, 1.1, 0


def made_features(rows: int, width: int) -> np.ndarray:
    """float16 `[rows, width]`: 4,096 centres, whose weights fall as in a real collection, and noise around them."""
    draw = np.random.default_rng(_SEED)
    centres = draw.normal(size=(4096, width))
    weights = 1 / np.arange(1, len(centres) + 1) ** 0.7
    chosen = draw.choice(len(centres), size=rows, p=weights / weights.sum())
    return (centres[chosen] + 0.5 * draw.normal(size=(rows, width))).astype(np.float16)


def measure(features: np.ndarray, num_clusters: int) -> dict[str, Any]:
    """Cluster once; processor time, sizes over their mean, and how far rows are from their centroid."""
    began = time.process_time()
    found = cluster_features(features, num_clusters, _FINE, _BALANCE, _SEED)
    took_s = time.process_time() - began
    sizes = np.bincount(found.labels, minlength=num_clusters) / (len(features) / num_clusters)
    return {
        "clusters": num_clusters,
        "levels": 1 if num_clusters <= MOST_AT_ONCE else 2,
        "cpu_s": round(took_s, 1),
        "largest": round(float(sizes.max()), 3),
        "smallest": round(float(sizes.min()), 3),
        "distance": round(float(found.away.mean()), 3),
        "silhouette": round(found.silhouette.mean, 3),
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=64, help="features of a row")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    features = made_features(options.rows, options.width)
    rows = [measure(features, number) for number in _CLUSTERS if number <= options.rows // 4]
    shape = {"rows": options.rows, "width": options.width, "balance": _BALANCE, "fine": _FINE}
    write_result("many_clusters", rows, seeds=(_SEED,), out=options.out, shape=shape)
    print(as_table(tuple(rows[0]), [[str(value) for value in row.values()] for row in rows]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
