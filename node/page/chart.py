"""The loss as a curve: inline SVG. Every text in it is a number of ours, so that nothing needs escaping.

No style attributes: the page's policy forbids them, and the style sheet colours by class.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

from markupsafe import Markup

Points = Sequence[tuple[int, float]]
"""Step and loss, by step."""

_WIDTH, _HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 10, 26
_MOST = 160
_LEAST_RANGE = 1e-9


def chart(points: Points) -> Markup:
    """The curve with axes; the page's script shows the value under the pointer, or that the arrow keys choose.

    Args:
        points: The curve; drawn are at most 160 points, each the mean of its neighbours.

    Returns:
        An element; empty for fewer than two points.
    """
    points = thinned(points, _MOST)
    if len(points) < 2:
        return Markup("")
    (first_step, first), (last_step, last) = points[0], points[-1]
    losses = [loss for _, loss in points]
    across, down = (_LEFT, _WIDTH - _RIGHT), (_HEIGHT - _BOTTOM, _TOP)
    steps, range_ = (first_step, last_step), _widened(min(losses), max(losses))
    line = " ".join(f"{_at(step, steps, across):g},{_at(loss, range_, down):g}" for step, loss in points)
    values = json.dumps([[step, float(f"{loss:.5g}")] for step, loss in points], separators=(",", ":"))
    label = (
        f"Loss from {first:.4g} at step {first_step:,} to {last:.4g} at step {last_step:,}. Arrow keys show the values."
    )
    return Markup(
        f'<div class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" tabindex="0" role="img" aria-label="{label}"'
        f" data-points='{values}'>{_grid(range_, steps)}<polyline points=\"{line}\"/>"
        '<circle class="cursor" r="4" cx="-9" cy="-9"/></svg><output aria-live="polite"></output></div>'
    )


def thinned(points: Points, most: int) -> list[tuple[int, float]]:
    """At most so many points: of neighbours the last step and the mean loss."""
    if len(points) <= most:
        return list(points)
    cuts = [index * len(points) // most for index in range(most + 1)]
    groups = [points[a:b] for a, b in itertools.pairwise(cuts)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _grid(losses: tuple[float, float], steps: tuple[int, int]) -> str:
    """Lines and numbers of both axes."""
    parts = []
    for loss in _ticks(*losses):
        y = _at(loss, losses, (_HEIGHT - _BOTTOM, _TOP))
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        parts.append(f'<text class="loss" x="{_LEFT - 6}" y="{y + 4:g}">{loss:.4g}</text>')
    for step, anchor in zip(steps, ("start", "end"), strict=True):
        x = _at(step, steps, (_LEFT, _WIDTH - _RIGHT))
        parts.append(f'<text class="{anchor}" x="{x:g}" y="{_HEIGHT - 6}">step {step:,}</text>')
    return "".join(parts)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Wide enough to be divided: the axis of losses that hardly differ ends above them."""
    least = max(_LEAST_RANGE, abs(low) * 1e-6)
    return low, high if high - low > least else low + max(_LEAST_RANGE, abs(low) * 0.01)


def _at(value: float, source: tuple[float, float], target: tuple[int, int]) -> float:
    """Place of a value on an axis, to a tenth of a unit of the drawing."""
    share = (value - source[0]) / (source[1] - source[0])
    return round(target[0] + share * (target[1] - target[0]), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, two to seven."""
    rough = (high - low) / 3
    unit = 10.0 ** math.floor(math.log10(rough))
    width = max(unit * factor for factor in (1, 2, 5) if unit * factor <= rough)
    return [width * k for k in range(math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9) + 1)]
