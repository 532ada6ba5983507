"""Templates, and the fragments of the page that are sent again when they change: its blocks named `live_...`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from markupsafe import Markup

from paris.node.page.chart import chart
from paris.node.view.words import duration_in_words
from paris.protocol.templates import live_fragments, template_environment

_TEMPLATES = Path(__file__).parent / "templates"
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Renderer:
    """Renders templates; every text of strangers is made printable and escaped."""

    def __init__(self) -> None:
        self._environment = template_environment(_TEMPLATES)
        self._environment.globals["chart"] = chart
        self._environment.filters |= {
            "when": _when,
            "bytes": _bytes,
            "figure": _figure,
            "count": _count,
            "words": duration_in_words,
        }

    def page(self, template: str, context: dict[str, Any]) -> str:
        """The whole page."""
        return self._environment.get_template(template).render(context)

    def fragments(self, template: str, context: dict[str, Any]) -> dict[str, str]:
        """The page's live blocks: the id of the element that each is, and its HTML."""
        return live_fragments(self._environment, template, context)


def _when(at: float | None) -> Markup:
    """A time element with the local time; the page's script turns it into "3 min ago"."""
    if at is None or not 0 < at < 1e11:
        return Markup("")
    utc, here = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)),
    )
    return Markup('<time datetime="{}">{}</time>').format(utc, here)


def _bytes(number: float) -> str:
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def _figure(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
