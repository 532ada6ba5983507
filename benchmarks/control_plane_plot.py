"""Plots of benchmarks/control_plane.py: processor time and memory by volunteers, processor time by experts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paris.experts.files import whole_file

Rows = list[dict[str, Any]]
_PARTS = ("taking records in", "reading records", "tick", "saving", "publishing", "showing")
_TARGET = {"volunteers": 10_000, "share": 0.1, "mib": 512}


def draw(rows: Rows, path: Path) -> Path:
    """Plot a result.

    Args:
        rows: From `control_plane.measure`: first by volunteers with one number of experts, then by experts.
        path: The PNG to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    time_panel, memory_panel, experts_panel = figure.subplots(1, 3)
    experts = rows[0]["experts"]
    by_volunteers = [row for row in rows if row["experts"] == experts]
    most = max(row["volunteers"] for row in rows if row["experts"] != experts)
    by_experts = sorted((row for row in rows if row["volunteers"] == most), key=lambda row: row["experts"])
    _over(time_panel, by_volunteers, "volunteers")
    time_panel.plot(_TARGET["volunteers"], _TARGET["share"], "k_", markersize=22, label="target")
    time_panel.set(title=f"Processor time, K = {experts}", xlabel="volunteers N", ylabel="share of one core")
    memory_panel.plot(
        [row["volunteers"] for row in by_volunteers], [row["rss_mib"] for row in by_volunteers], marker="o"
    )
    memory_panel.plot(_TARGET["volunteers"], _TARGET["mib"], "k_", markersize=22, label="target")
    memory_panel.set(title=f"Memory, K = {experts}", xlabel="volunteers N", ylabel="RSS, MiB", xscale="log")
    memory_panel.set(ylim=(0, None))
    _over(experts_panel, by_experts, "experts")
    experts_panel.set(title=f"Processor time, N = {most:,}", xlabel="experts K", ylabel="share of one core")
    for panel in (time_panel, memory_panel, experts_panel):
        panel.legend(frameon=False, fontsize=8)
        panel.grid(alpha=0.3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _over(panel: Any, rows: Rows, what: str) -> None:
    """Share of a core over a number, in whole and by part, both logarithmic: linear growth has slope one."""
    numbers = [row[what] for row in rows]
    step_s = [row["cpu_s_an_hour"] / 3600 for row in rows]
    panel.plot(numbers, step_s, "k", marker="o", label="all")
    for part in _PARTS:
        panel.plot(numbers, [row["parts_s_a_step"][part] / 5.0 for row in rows], marker=".", lw=1, label=part)
    panel.set(xscale="log", yscale="log")
