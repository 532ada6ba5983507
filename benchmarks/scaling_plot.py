"""Plots of benchmarks/scaling.py: four panels, by size, batch and number of experts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from paris.experts.files import whole_file

Rows = list[dict[str, Any]]

_WAYS = {"resident": "2 in memory, the others on disk", "shared": "all in memory"}


def draw(rows: dict[str, Rows], preset: str, path: Path) -> Path:
    """Plot a result.

    Args:
        rows: From `scaling.measure`.
        preset: Of the batch and experts parts.
        path: The PNG to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    panels = figure.subplots(2, 2)
    _over_experts(panels[0, 0], rows["experts"], preset)
    _memory_over_experts(panels[0, 1], rows, preset)
    _steps(panels[1, 0], rows["batch"], "rows", lambda row: row["step_s"] / row["rows"])
    panels[1, 0].set(title=f"Over the batch, {preset}", xlabel="rows", ylabel="seconds a step and row", ylim=(0, None))
    _steps(panels[1, 1], rows["size"], "parameters", lambda row: row["step_s"])
    panels[1, 1].set(
        title=f"Over the expert's size, rows: {rows['size'][0]['rows']}",
        xlabel="parameters of one expert",
        ylabel="seconds a step",
        yscale="log",
    )
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _over_experts(panel: Any, rows: Rows, preset: str) -> None:
    for way, label in _WAYS.items():
        chosen = [row for row in rows if row["way"] == way]
        panel.plot(
            [row["experts"] for row in chosen], [row["s_per_picture"] for row in chosen], marker="o", label=label
        )
    alone = [row for row in rows if row["way"] == "one by one"]
    panel.plot(
        [row["experts"] for row in alone],
        [row["s_per_picture"] for row in alone],
        "s",
        label="2 in memory, one picture at a time",
    )
    panel.set(title=f"A top-2 sampling step, {preset}", xlabel="experts K", ylabel="seconds a picture", ylim=(0, None))
    _powers_of_two(panel, [row["experts"] for row in rows])


def _memory_over_experts(panel: Any, rows: dict[str, Rows], preset: str) -> None:
    memory = rows["experts_memory"]
    panel.plot(
        [row["experts"] for row in memory], [row["memory_mib"] for row in memory], marker="o", label="2 in memory, peak"
    )
    known = {row["preset"]: row["parameters"] for row in [*rows["size"], *rows["batch"]]}
    counts = sorted({row["experts"] for row in rows["experts"]})
    panel.plot(
        counts, [4 * known[preset] * count / 2**20 for count in counts], "--", label="weights of all K (computed)"
    )
    panel.set(title=f"Memory, {preset}", xlabel="experts K", ylabel="MiB", yscale="log")
    _powers_of_two(panel, counts)


def _steps(panel: Any, rows: Rows, over: str, value: Callable[[dict[str, Any]], float]) -> None:
    for step in ("sampling", "training"):
        chosen = [row for row in rows if row["step"] == step]
        panel.plot([row[over] for row in chosen], [value(row) for row in chosen], marker="o", label=step)
    if over == "rows":
        _powers_of_two(panel, [row[over] for row in rows])
        return
    panel.set_xscale("log")
    panel.legend(frameon=False)
    panel.grid(alpha=0.3)


def _powers_of_two(panel: Any, counts: list[int]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(set(counts)), [str(count) for count in sorted(set(counts))])
    panel.legend(frameon=False)
    panel.grid(alpha=0.3)
