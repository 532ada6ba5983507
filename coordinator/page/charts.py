"""Charts as inline SVG. Every text in them is a number of ours, so that nothing needs escaping.

No style attributes: the page's policy forbids them, and the style sheet colours by class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from markupsafe import Markup

Points = Sequence[tuple[int, float]]
"""Step and loss."""

_SPARK_POINTS = 24
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 24
_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 24
_NUM_TICKS = 4


def thinned(points: Points, most: int) -> list[tuple[int, float]]:
    """At most `most` points, evenly over the given ones, the last among them."""
    if len(points) <= most:
        return list(points)
    places = [round(k * (len(points) - 1) / (most - 1)) for k in range(most)]
    return [points[place] for place in places]


def spark(points: Points) -> Markup:
    """A small curve without axes, for a row of a table; empty for fewer than two points."""
    points = thinned(points, _SPARK_POINTS)
    if len(points) < 2:
        return Markup("")
    scale = _Scale(points, (0, _SPARK_WIDTH), (_SPARK_HEIGHT - 2, 2))
    return Markup(
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" aria-hidden="true">'
        f'<polyline points="{scale.line(points)}"/></svg>'
    )


def chart(points: Points, reference: Points = (), *, name: str, most: int = 160) -> Markup:
    """A loss curve with axes; the script shows the value under the pointer, or that the arrow keys choose.

    Args:
        points: Of the curve.
        reference: Points of the organiser's own training, drawn dashed.
        name: Of the chart, for readers of the screen: our own words.
        most: At most so many points are drawn.
    """
    points = thinned(points, most)
    everything = [*points, *reference]
    if len(points) < 2:
        return Markup("")
    scale = _Scale(everything, (_LEFT, _WIDTH - _RIGHT), (_HEIGHT - _BOTTOM, _TOP))
    dashed = f'<polyline class="reference" points="{scale.line(reference)}"/>' if len(reference) > 1 else ""
    values = json.dumps([[step, float(f"{loss:.5g}")] for step, loss in points], separators=(",", ":"))
    (_, first), (last_step, last) = points[0], points[-1]
    label = f"{name}: loss from {first:.4g} to {last:.4g} at step {last_step:,}. Arrow keys show the values."
    return Markup(
        f'<div class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" tabindex="0" role="img" aria-label="{label}"'
        f" data-points='{values}'>{scale.grid()}{dashed}<polyline points=\"{scale.line(points)}\"/>"
        '<circle class="cursor" r="4" cx="-9" cy="-9"/></svg><output aria-live="polite"></output></div>'
    )


class _Scale:
    """From steps and losses to places in a box.

    Args:
        points: All that must fit.
        across: Left and right end, in SVG units.
        down: Places of the smallest and the largest loss.
    """

    def __init__(self, points: Points, across: tuple[int, int], down: tuple[int, int]) -> None:
        steps, losses = [step for step, _ in points], [loss for _, loss in points]
        self._steps = (0, max(steps, default=1) or 1)
        low, high = min(losses), max(losses)
        self._losses = (low, high if high > low else low + max(1e-9, abs(low) * 0.01))
        self._across, self._down = across, down

    def place(self, step: float, loss: float) -> tuple[float, float]:
        """Place in SVG units, to a tenth of a unit."""
        return _between(step, self._steps, self._across), _between(loss, self._losses, self._down)

    def line(self, points: Points) -> str:
        """The `points` of a polyline."""
        return " ".join("{:g},{:g}".format(*self.place(step, loss)) for step, loss in points)

    def grid(self) -> str:
        """Lines and numbers of both axes."""
        parts = []
        for loss in _ticks(*self._losses):
            _, y = self.place(0, loss)
            parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}"/>')
            parts.append(f'<text class="loss" x="{_LEFT - 6}" y="{y + 4:g}">{loss:.4g}</text>')
        for step in _ticks(*self._steps):
            x, _ = self.place(step, 0)
            parts.append(f'<text class="step" x="{x:g}" y="{_HEIGHT - 6}">{_short(step)}</text>')
        return "".join(parts)


def _between(value: float, source: tuple[float, float], target: tuple[int, int]) -> float:
    share = (value - source[0]) / (source[1] - source[0])
    return round(target[0] + share * (target[1] - target[0]), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, three to seven."""
    most = 1.5 * (high - low) / _NUM_TICKS
    unit = 10.0 ** math.floor(math.log10(most))
    width = max(unit * factor for factor in (1, 2, 5) if unit * factor <= most)
    first = math.ceil(low / width - 1e-9)
    return [width * k for k in range(first, math.floor(high / width + 1e-9) + 1)]


def _short(number: float) -> str:
    """A number of steps in at most five characters or so."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
