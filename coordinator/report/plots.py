"""samples.png, nearest.png and training.png. `prepare` plots clusters.png."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill, shorten
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from paris.coordinator.report.samples import Pictures, SampleGrid
from paris.experts.files import whole_file

_CELL_INCHES = 0.9
_DPI = 130
_SMOOTHING = 0.2
_LABEL_CHARS, _MAX_LABEL_CHARS = 24, 66
_PAIRS = 4
"""Seeds of each prompt in nearest.png."""


def plot_samples(path: Path, grid: SampleGrid, *, originals: Sequence[Pictures | None], marks: Sequence[str]) -> None:
    """Plot the grid of samples, with prompts, seeds and training pictures.

    Args:
        path: The PNG to write.
        grid: The samples.
        originals: A training picture of each prompt, uint8 `[H, W, 3]`; None where there is none.
        marks: Text under each prompt, such as "75% recognised".
    """
    has_originals = any(original is not None for original in originals)
    columns = [f"seed {seed}" for seed in grid.seeds] + ["training\npicture"] * has_originals
    cells = [
        [*row, original] if has_originals else list(row) for row, original in zip(grid.samples, originals, strict=True)
    ]
    labels = [
        f"{_label_of(prompt)}\n{fill(mark, _LABEL_CHARS)}" for prompt, mark in zip(grid.prompts, marks, strict=True)
    ]
    _plot_cells(path, cells, columns, labels)


def plot_nearest(path: Path, grid: SampleGrid, nearest: Pictures, measure: str) -> None:
    """Plot the training picture nearest to each sample beside it.

    Args:
        path: The PNG to write.
        grid: The samples; at most `_PAIRS` seeds are shown.
        nearest: uint8 `[P, S, H, W, 3]`.
        measure: What they are nearest by, "pixels" or "latents".
    """
    cells = [
        [picture for pair in list(zip(ours, theirs, strict=True))[:_PAIRS] for picture in pair]
        for ours, theirs in zip(grid.samples, nearest, strict=True)
    ]
    columns = [title for seed in grid.seeds[:_PAIRS] for title in (f"seed {seed}", f"nearest\nby {measure}")]
    _plot_cells(path, cells, columns, [_label_of(prompt) for prompt in grid.prompts])


def _plot_cells(
    path: Path, cells: Sequence[Sequence[Pictures | None]], columns: Sequence[str], labels: Sequence[str]
) -> None:
    size = (len(columns) * _CELL_INCHES + 2.2, len(cells) * _CELL_INCHES + 0.5)
    figure, axes = plt.subplots(len(cells), len(columns), figsize=size, squeeze=False)
    for row, pictures in enumerate(cells):
        for column, picture in enumerate(pictures):
            _show(axes[row, column], picture)
        axes[row, 0].set_ylabel(labels[row], rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    for column, title in enumerate(columns):
        axes[0, column].set_title(title, fontsize=8)
    figure.subplots_adjust(
        left=2.0 / size[0], right=0.99, top=1 - 0.45 / size[1], bottom=0.02, wspace=0.05, hspace=0.05
    )
    _save(figure, path)


def _label_of(prompt: str) -> str:
    short = shorten(prompt, _MAX_LABEL_CHARS, placeholder="...")
    return fill(short, _LABEL_CHARS) or "(no prompt)"


def plot_training(path: Path, curves: dict[str, list[tuple[int, float]]], router: dict[str, Any]) -> None:
    """Plot the experts' losses, the router's loss, and the router's accuracy and calibration by noise level.

    Args:
        path: The PNG to write.
        curves: Steps and losses of each expert.
        router: Report of the router job; empty without a router.
    """
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8))
    for name, curve in sorted(curves.items()):
        steps, losses = zip(*curve, strict=True)
        axes[0].plot(steps, losses, label=name, linewidth=1.4)
    _label(axes[0], "Experts, each alone on its cluster", "step", "training loss")
    if router:
        axes[1].plot(
            [s for s, _ in router["losses"]], _smooth([v for _, v in router["losses"]]), color="black", label="router"
        )
        axes[1].axhline(math.log(router["num_clusters"]), linestyle=":", color="grey", label="guessing")
        bins = router["accuracy_by_noise"]
        middles = [(low + high) / 2 for low, high, _ in bins]
        axes[2].bar(middles, [accuracy for _, _, accuracy in bins], width=0.09, color="tab:blue", label="accuracy")
        off = [figure for _, _, figure in router["calibration_by_noise"]]
        axes[2].plot(middles, off, color="tab:red", marker="o", markersize=3, label="calibration error")
        axes[2].axhline(1 / router["num_clusters"], linestyle=":", color="grey", label="guessing")
        axes[2].set_ylim(0, 1)
    _label(axes[1], "Router", "step", "cross-entropy")
    _label(axes[2], "Router on held-out rows", "noise level t (0 data, 1 noise)", "share of rows")
    figure.tight_layout()
    _save(figure, path)


def _show(axis: Axes, picture: Pictures | None) -> None:
    if picture is None:
        axis.set_axis_off()
    else:
        axis.imshow(picture, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def _label(axis: Axes, title: str, x: str, y: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)


def _smooth(values: list[float]) -> list[float]:
    """Exponential moving average that starts at the first value."""
    smoothed, level = [], values[0] if values else 0.0
    for value in values:
        level += _SMOOTHING * (value - level)
        smoothed.append(level)
    return smoothed


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=_DPI, format="png")
    plt.close(figure)
