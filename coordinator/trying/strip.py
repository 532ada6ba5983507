"""A trace as a strip: a column for each denoising step, in it the experts' weights; and the same as a table.

The texts in it are numbers of ours, so that nothing needs escaping. Colours are attributes: the page's policy forbids
styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from paris.coordinator.trying.messages import Drawn

_WIDTH, _HEIGHT, _TOP = 640, 96, 4
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bb5566", "#997700", "#44aa99", "#882255",
)  # fmt: skip
"""Paul Tol's bright palette, and four of his others: told apart by those who do not see all colours."""
_MOST_SHOWN = 10
_LEAST_SHOWN = 0.0005
"""Of the picture; below it every figure would be 0.0%."""


class Row(NamedTuple):
    """A step of the table."""

    step: int
    t: float
    weights: tuple[float, ...]
    """Of the shown experts, in the table's order, and of all others together."""


class Strip(NamedTuple):
    """A trace as it is shown."""

    svg: Markup
    experts: tuple[int, ...]
    """Those with a part that can be seen, the largest first; at most ten."""
    colours: tuple[str, ...]
    shares: tuple[float, ...]
    """Of the whole picture."""
    rows: tuple[Row, ...]
    has_others: bool
    """Whether there are more experts than are shown."""


def strip_of(drawn: Drawn) -> Strip:
    """The strip of a picture."""
    num_steps = len(drawn.weights)
    shares = {
        number: sum(row[place] for row in drawn.weights) / num_steps for place, number in enumerate(drawn.experts)
    }
    used = sorted((n for n, share in shares.items() if share >= _LEAST_SHOWN), key=lambda n: -shares[n])
    shown = used[:_MOST_SHOWN]
    places = [drawn.experts.index(number) for number in shown]
    rows = tuple(
        Row(step + 1, drawn.times[step], (*(row[place] for place in places), _rest(row, places)))
        for step, row in enumerate(drawn.weights)
    )
    colours = tuple(colour_of(number) for number in shown)
    return Strip(
        _svg([row.weights for row in rows], [*colours, "#888888"], shown),
        tuple(shown),
        colours,
        tuple(shares[number] for number in shown),
        rows,
        len(used) > len(shown),
    )


def colour_of(expert: int) -> str:
    """The colour of an expert, the same in every strip of a model."""
    return _COLOURS[expert % len(_COLOURS)]


def _rest(row: Sequence[float], places: Sequence[int]) -> float:
    return max(0.0, round(1.0 - sum(row[place] for place in places), 6))


def _svg(rows: Sequence[Sequence[float]], colours: Sequence[str], shown: Sequence[int]) -> Markup:
    width, parts = _WIDTH / len(rows), []
    for step, weights in enumerate(rows):
        low = 0.0
        for weight, colour in zip(weights, colours, strict=True):
            if weight <= 0:
                continue
            y, height = _TOP + low * _HEIGHT, weight * _HEIGHT
            parts.append(
                f'<rect x="{step * width:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}"/>'
            )
            low += weight
    names = ", ".join(str(number) for number in shown)
    label = (
        f"Weights of the experts {names} at each of {len(rows)} steps, from noise to picture. The table has the values."
    )
    return Markup(
        f'<svg class="strip" viewBox="0 0 {_WIDTH} {_HEIGHT + 2 * _TOP}" role="img" aria-label="{label}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
