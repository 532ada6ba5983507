"""Plots of `benchmarks.quality`: distances as shares of the monolith's, and by number of experts."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.quality_plan import GUIDED
from paris.experts.files import whole_file

_WAYS = {
    **{way: way for way in ("oracle", "ancestral", "top2+prompt", "full+prompt", "top1", "top2", "full")},
    "ancestral, guided": "guided, expert",
    f"{GUIDED[0]}, guided": "guided, ensemble",
    "warm": "warm start",
    "warm, guided": "warm start, guided",
}
"""Methods in the plot, and their labels."""
_SHARES = (0.5, 0.76, 1, 2, 4, 8)


def draw(result: dict[str, Any], path: Path) -> Path:
    """Plot a result.

    Args:
        result: The result of `benchmarks.quality`.
        path: The PNG to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    points = shares_by_count(result)
    figure = Figure(figsize=(11 if points else 7, 4.2), layout="constrained")
    panels = figure.subplots(1, 2 if points else 1, squeeze=False, width_ratios=(3, 2) if points else None)[0]
    _over_ways(panels[0], result)
    if points:
        _over_counts(panels[1], points)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _over_ways(panel: Any, result: dict[str, Any]) -> None:
    by_dataset: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for folder in result["rows"]:
        for row in folder["figures"]:
            way = row["way"] if row["arm"] == folder["experts"] else "warm"
            is_warm = row["arm"] == folder["warm"] and row["way"] == (GUIDED[0] if row["is_guided"] else "ancestral")
            if (way != "warm" or is_warm) and not row["without"]:
                by_dataset[folder["dataset"]][way + ", guided" * row["is_guided"]].append(row["of_monolith"])
    for number, (dataset, ways) in enumerate(by_dataset.items()):
        asked = [(place, ways[way]) for place, way in enumerate(_WAYS) if ways[way]]
        places = [place + 0.22 * (number - 1) for place, _ in asked]
        means = [statistics.fmean(shares) for _, shares in asked]
        spreads = [statistics.stdev(shares) if len(shares) > 1 else 0.0 for _, shares in asked]
        panel.errorbar(places, means, yerr=spreads, fmt="o", capsize=3, label=dataset)
    panel.axhline(1.0, color="gray", linewidth=1)
    panel.axhline(0.76, color="gray", linewidth=1, linestyle=":", label="0.76: Paris B/2 (FID, top-2)")
    panel.set(title="Distance as a share of the monolith's", yscale="log", ylabel="share (log scale)")
    panel.set_yticks(_SHARES, [f"{share:g}" for share in _SHARES])
    panel.minorticks_off()
    panel.set_xticks(range(len(_WAYS)), _WAYS.values(), rotation=25, ha="right", rotation_mode="anchor")
    panel.set_xlim(-0.6, len(_WAYS) - 0.4)
    panel.legend(frameon=False)


def shares_by_count(result: dict[str, Any]) -> dict[str, dict[int, float]]:
    """Of each data set where several K were tried: K to the share of the monolith's distance, at one learning rate.

    Args:
        result: The result of `benchmarks.quality`.

    Returns:
        Data set to shares by K; K = 1 is the monolith, at its own best rate.
    """
    found = {}
    for folder in result["rows"]:
        rate, points = folder["experts"].partition("@")[2], {}
        for row in folder["figures"]:
            arm, _, arm_rate = row["arm"].partition("@")
            is_asked = row["way"] == "ancestral" and not row["without"] and not row["is_guided"]
            if arm.startswith("semantic-") and arm_rate == rate and is_asked:
                points[int(arm.partition("-")[2])] = row["of_monolith"]
        if len(points) > 1:
            found[folder["dataset"]] = dict(sorted({1: 1.0, **points}.items()))
    return found


def _over_counts(panel: Any, points: dict[str, dict[int, float]]) -> None:
    for dataset, values in points.items():
        panel.plot(list(values), list(values.values()), marker="o", label=dataset)
    panel.axhline(1.0, color="gray", linewidth=1)
    panel.set(title="Ancestral routing over K, one seed", xlabel="experts K", ylabel="share of the monolith's")
    panel.set_xscale("log", base=2)
    counts = sorted({count for values in points.values() for count in values})
    panel.set_xticks(counts, map(str, counts))
    panel.legend(frameon=False)
