"""clusters.json: frequent words and figures of each cluster, which clusters.html shows."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.clustering.kmeans import distances
from paris.coordinator.prepare.clustering.plan import Plan
from paris.coordinator.prepare.config import PrepareConfig, public_name
from paris.coordinator.prepare.prepared import PreparedCluster
from paris.coordinator.prepare.rows.items import rows_at
from paris.coordinator.prepare.showing.examples import cut

_EXAMPLES = 12
_WORDS = 8
_FILLERS = """
a an and are as at be by for from had has have he her his i in into is it its me my no not of off on or our she so some
that the their them there these they this those to up us was we were which while who with you your
"""


def frequent_words(counts: list[Counter[str]]) -> list[list[str]]:
    """Words of each cluster that are frequent there and rare elsewhere, by falling weight.

    A word's weight is its count times the squared log of (its share of this cluster's words over its share of all
    words). Without the square, a word of nearly every caption would come first wherever it is slightly more frequent.
    Ties, as with a single cluster, are broken by frequency, then by the more typical row.

    Args:
        counts: From `count_words`.
    """
    fillers = frozenset(_FILLERS.split())
    kept = [Counter({word: count for word, count in here.items() if _is_content(word, fillers)}) for here in counts]
    total: Counter[str] = sum(kept, Counter())
    return [_heaviest(here, total, total.total()) for here in kept]


def _is_content(word: str, fillers: frozenset[str]) -> bool:
    """Whether a word is no filler and no single letter, which "o'clock" is split into."""
    return word not in fillers and not (len(word) == 1 and word.isascii())


def _heaviest(here: Counter[str], total: Counter[str], all_words: int) -> list[str]:
    all_here = here.total()

    def weight(word: str) -> tuple[float, int]:
        more = math.log(here[word] * all_words / (total[word] * all_here))
        return -here[word] * more * abs(more), -here[word]

    return sorted(here, key=weight)[:_WORDS]


def most_alike(centroids: np.ndarray) -> list[int | None]:
    """For each cluster the one with the nearest centroid; None for a single cluster.

    Args:
        centroids: `[K, D]`.
    """
    apart = distances(centroids, centroids)
    np.fill_diagonal(apart, np.inf)
    return [int(row.argmin()) if np.isfinite(row).any() else None for row in apart]


def _shown(rows: pa.Table) -> list[dict[str, str]]:
    return [{"row_id": row["row_id"], "caption": cut(row["caption"])} for row in rows.to_pylist()]


def describe_clusters(
    table: pa.Table,
    plan: Plan,
    words: list[list[str]],
    prepared: list[PreparedCluster],
    config: PrepareConfig,
    licences: dict[str, int],
    dropped: dict[str, int],
) -> dict[str, Any]:
    """The content of clusters.json.

    Args:
        table: All items.
        plan: The clusters.
        words: From `frequent_words`.
        prepared: The clusters' files.
        config: Names the embedder.
        licences: Training rows of each licence.
        dropped: Dropped rows by reason.
    """
    clustering = plan.clustering
    total = sum(files.rows + files.heldout_rows for files in prepared)
    named = table.select(["row_id", "caption"])
    alike = most_alike(clustering.centroids)
    clusters = [
        {
            "cluster": part.cluster,
            "rows": files.rows,
            "heldout_rows": files.heldout_rows,
            "share": round((files.rows + files.heldout_rows) / total, 6),
            "bytes": files.data_bytes,
            "silhouette": clustering.silhouette.by_cluster[part.cluster],
            "most_alike": alike[part.cluster],
            "frequent_words": words[part.cluster],
            "examples": _shown(rows_at(named, part.typical[:_EXAMPLES])),
            "farthest": _shown(rows_at(named, part.typical[::-1][:_EXAMPLES])),
        }
        for part, files in zip(plan.clusters, prepared, strict=True)
    ]
    return {
        "embedder": public_name(config.embedder),
        "silhouette": round(clustering.silhouette.mean, 6),
        "davies_bouldin": round(clustering.davies_bouldin, 6),
        "silhouette_before_balancing": round(clustering.silhouette_before, 6),
        "sizes_before_balancing": clustering.sizes_before,
        "catch_alls_split": [round(share, 6) for share in clustering.catch_alls],
        "licences": licences,
        "dropped": dropped,
        "clusters": clusters,
    }
