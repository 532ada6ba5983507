"""Templates, and the fragments of a page that are sent again when they change: its blocks named `live_...`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from paris.coordinator.page.charts import chart, spark
from paris.protocol.templates import live_fragments, template_environment

_TEMPLATES = Path(__file__).parent / "templates"
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Renderer:
    """Renders templates; every text of strangers is made printable and escaped."""

    def __init__(self) -> None:
        self._environment = template_environment(_TEMPLATES)
        self._environment.globals |= {"chart": chart, "spark": spark}
        self._environment.filters |= {
            "when": _when,
            "bytes": _bytes,
            "figure": _figure,
            "percent": _percent,
            "day": _day,
            "nearness": _nearness,
        }
        # Not imported by each template: a block that is rendered alone would not see the import.
        self._environment.globals["parts"] = self._environment.get_template("parts.html").module

    def page(self, template: str, context: dict[str, Any]) -> str:
        """The whole page."""
        return self._environment.get_template(template).render(context)

    def fragments(self, template: str, context: dict[str, Any]) -> dict[str, str]:
        """The page's live blocks: the id of the element that each is, and its HTML."""
        return live_fragments(self._environment, template, context)


def _when(at: float | None) -> Markup:
    """A time element; the script turns it into "3 min ago"."""
    if at is None or not 0 < at < 1e11:
        return Markup("")
    moment = datetime.fromtimestamp(at, UTC)
    return Markup(f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>')


def _day(at: float) -> str:
    """A time that is shown as it is."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _bytes(number: float) -> str:
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def _figure(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _nearness(ratio: float | None) -> int:
    """How near a loss is to the best, by its ratio to that: from 0 to 3 stars."""
    return 0 if ratio is None else sum(ratio <= most for most in (1.05, 1.2, 1.5))


def _percent(share: float) -> str:
    return f"{share:.1%}"
