"""Templates, and the fragments of the page that are sent again when they change: its blocks named `live_...`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paris.node.page.chart import chart
from paris.node.view.words import duration_in_words
from paris.protocol.printable import on_one_line

_TEMPLATES = Path(__file__).parent / "templates"
_LIVE = "live_"
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Renderer:
    """Renders templates; every text of strangers is made printable and escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
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
        loaded = self._environment.get_template(template)
        values = loaded.new_context(context)
        return {
            name.removeprefix(_LIVE).replace("_", "-"): "".join(render(values)).strip()
            for name, render in loaded.blocks.items()
            if name.startswith(_LIVE)
        }


def _shown(value: Any) -> Any:
    """What is written for a value: texts lose characters that are no picture, such as marks of direction."""
    if value is None:
        return ""
    return on_one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
