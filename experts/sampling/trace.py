"""Which expert made which picture, when, and how much it counted; and a plot of that.

    recorder = TraceRecorder()
    sample(..., on_step=recorder)
    trace = recorder.trace()
    plot_routing(trace, Path("routing.png"))

JSON: {"experts": [0, 1], "times": [1.0, ...], "weights": [[[0.7, 0.3], ...one a picture], ...one a step]}

Shapes: S steps, B pictures, K experts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.files import whole_file
from paris.experts.installed import missing_module
from paris.experts.sampling.sample import Step

MAX_PANELS = 36
_COLUMNS = 4
_PANEL_INCHES = (3.4, 2.1)
_DPI = 130
_FEW = 10
"""Experts that still get colours of a palette made for telling apart."""


class TraceSummary(NamedTuple):
    """A trace in a few figures."""

    share: tuple[float, ...]
    """Mean weight of each expert, over steps and pictures."""
    experts_per_picture: float
    """Mean number of experts that run for a picture at a step."""
    best_weight: float
    """Mean weight of the heaviest expert."""
    switches: float
    """Mean number of times that a picture's heaviest expert changes on the way."""


@dataclass(frozen=True)
class RoutingTrace:
    """Weights of the experts along a sampling run."""

    experts: tuple[int, ...]
    """Numbers of the experts, one a column."""
    times: tuple[float, ...]
    """Flow time at which each step began."""
    weights: Tensor
    """float32 `[S, B, K]` on the CPU; zero for experts that did not run."""

    def __post_init__(self) -> None:
        wanted = (len(self.times), len(self.experts))
        if self.weights.dim() != 3 or (self.weights.shape[0], self.weights.shape[2]) != wanted:
            raise SamplingError(
                f"Weights {list(self.weights.shape)} are no trace of {wanted[0]} steps and {wanted[1]} experts."
            )

    def summary(self) -> TraceSummary:
        """A trace in a few figures."""
        best = self.weights.argmax(dim=2)
        return TraceSummary(
            tuple(self.weights.mean(dim=(0, 1)).tolist()),
            (self.weights > 0).sum(dim=2).float().mean().item(),
            self.weights.amax(dim=2).mean().item(),
            (best[1:] != best[:-1]).sum(dim=0).float().mean().item(),
        )

    def to_json(self) -> str:
        """The trace as text, weights to six digits."""
        weights = [[[round(weight, 6) for weight in row] for row in step] for step in self.weights.tolist()]
        return json.dumps({"experts": list(self.experts), "times": list(self.times), "weights": weights})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of `to_json`; SamplingError if it is none."""
        try:
            fields = json.loads(text)
            weights = torch.tensor(fields["weights"], dtype=torch.float32)
            return cls(tuple(map(int, fields["experts"])), tuple(map(float, fields["times"])), weights)
        except (ValueError, TypeError, KeyError) as error:
            raise SamplingError(f"The text is not a routing trace: {error}") from error


class TraceRecorder:
    """Collects a trace: an `on_step` of `sample`, or call `add` after each step.

    Args:
        experts: Numbers of the experts, `VelocityField.numbers`; None: from 0 on.
    """

    def __init__(self, experts: Sequence[int] | None = None) -> None:
        self._experts = experts
        self._times: list[float] = []
        self._weights: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        """Add a step of `sample`."""
        self.add(step.t_start, step.weights)

    def add(self, t: float, weights: Tensor) -> None:
        """Add the weights `[B, K]` at flow time t. They stay on their device: no wait for a GPU."""
        self._times.append(t)
        self._weights.append(weights.detach())

    def trace(self) -> RoutingTrace:
        """The trace so far; SamplingError if it has no step."""
        if not self._weights:
            raise SamplingError("No step was taken, there is nothing to trace.")
        weights = torch.stack(self._weights).float().cpu()
        experts = range(weights.shape[2]) if self._experts is None else self._experts
        return RoutingTrace(tuple(experts), tuple(self._times), weights)


def plot_routing(
    trace: RoutingTrace,
    path: Path,
    *,
    titles: Sequence[str] | None = None,
    pictures: Sequence[Any] | None = None,
    columns: int = _COLUMNS,
) -> None:
    """Plot a panel a picture: the weights of its experts as stacked areas over flow time, noise on the left.

    Args:
        trace: The first `MAX_PANELS` pictures of it are plotted.
        path: The file to write; its suffix sets the format (.png, .svg, .pdf).
        titles: One a picture, such as its prompt.
        pictures: One a picture, shown beside its panel: PIL images or arrays `[H, W, 3]`.
        columns: Panels beside each other.

    Raises:
        MissingModuleError: matplotlib is not installed.
        SamplingError: matplotlib does not write this format, or there are too few titles or pictures.
        DiskFullError: No space; `path` is as it was.
    """
    weights = np.asarray(trace.weights, dtype=np.float64)
    for name, rows in (("titles", titles), ("pictures", pictures)):
        if rows is not None and len(rows) != weights.shape[1]:
            raise SamplingError(f"There are {len(rows)} {name} for the {weights.shape[1]} pictures of the trace.")
    check_plot(path)
    from matplotlib.figure import Figure

    count = min(weights.shape[1], MAX_PANELS)
    columns = max(1, min(count, columns))
    rows_of_panels = math.ceil(count / columns)
    size = (columns * _PANEL_INCHES[0], rows_of_panels * _PANEL_INCHES[1] + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows_of_panels, columns, squeeze=False, sharex=True, sharey=True).flatten()
    used = [int(k) for k in np.nonzero(weights[:, :count].any(axis=(0, 1)))[0]]
    colors = _colors(weights.shape[2])
    for row, axis in enumerate(axes):
        if row >= count:
            axis.set_axis_off()
            continue
        _panel(axis, np.asarray(trace.times, dtype=np.float64), weights[:, row], used, colors)
        if titles is not None:
            axis.set_title(_short(titles[row]), fontsize=8)
        if pictures is not None:
            _thumbnail(axis, pictures[row])
    names = [f"expert {trace.experts[k]}" for k in used]
    _label(figure, axes[:count], columns, names, [colors[k] for k in used])
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=_DPI, format=path.suffix[1:].lower())


def check_plot(path: Path) -> None:
    """Raise an error if matplotlib is not installed or does not write this format, before anything is computed."""
    try:
        # Not pyplot: no window is ever opened, nothing is kept.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise missing_module(error) or SamplingError(f"A plot needs matplotlib: {error}.") from error
    if path.suffix[1:].lower() not in FigureCanvasAgg.get_supported_filetypes():
        raise SamplingError(f"A plot cannot be written as {path.name!r}.", "Choose a name that ends in .png or .svg.")


def _panel(axis: Any, times: np.ndarray, weights: np.ndarray, used: list[int], colors: Any) -> None:
    """One picture's weights `[S, K]`: step s holds from its time to the next one's, the last to the end."""
    edges = np.append(times, 0.0)
    held = np.vstack([weights, weights[-1:]])
    axis.stackplot(edges, *(held[:, k] for k in used), step="post", colors=[colors[k] for k in used], linewidth=0)
    axis.set_xlim(float(edges[0]), 0.0)
    axis.set_ylim(0, 1)
    axis.tick_params(labelsize=7)


def _thumbnail(axis: Any, picture: Any) -> None:
    beside = axis.inset_axes((1.02, 0.0, 0.42, 1.0))
    beside.imshow(np.asarray(picture), interpolation="nearest")
    beside.set_anchor("W")
    beside.set_axis_off()


def _label(figure: Any, axes: Any, columns: int, names: list[str], colors: list[Any]) -> None:
    from matplotlib.patches import Patch

    for number, axis in enumerate(axes):
        if number % columns == 0:
            axis.set_ylabel("share of expert", fontsize=8)
        if number + columns >= len(axes):
            axis.set_xlabel("flow time t (1 noise, 0 data)", fontsize=8)
            axis.tick_params(labelbottom=True)
    handles = [Patch(color=color, label=name) for name, color in zip(names, colors, strict=True)]
    per_line = max(1, int(figure.get_size_inches()[0] // 1.1))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(names), per_line), fontsize=8, frameon=False
    )


def _colors(count: int) -> Any:
    from matplotlib import colormaps

    if count <= _FEW:
        return colormaps["tab10"](np.arange(_FEW))
    return colormaps["turbo"](np.linspace(0.03, 0.97, count))


def _short(title: str) -> str:
    return title if len(title) <= 40 else f"{title[:39]}..."
