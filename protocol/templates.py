"""HTML templates of all pages: every text is made printable and escaped, and a name that is missing is an error.

Beside them what the style sheets and scripts of all pages share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paris.protocol.counted import counted
from paris.protocol.printable import on_one_line

_LIVE = "live_"
_SHARED = Path(__file__).parent / "assets"


def template_environment(folder: Path) -> Environment:
    """The templates in a folder.

    Args:
        folder: Of the files; pages name them relative to it.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["counted"] = counted
    return environment


def asset(own: Path) -> bytes:
    """A page's style sheet or script: what all pages share, then what is its own.

    Args:
        own: `page.css` or `page.js` of the page.
    """
    return (_SHARED / own.name).read_bytes() + own.read_bytes()


def live_fragments(environment: Environment, template: str, context: dict[str, Any]) -> dict[str, str]:
    """The blocks of a page that are sent again when they change, those named `live_...`.

    Args:
        environment: Has the template.
        template: Its file.
        context: Values of the page.

    Returns:
        By the id of the element that each block is, its HTML.
    """
    loaded = environment.get_template(template)
    values = loaded.new_context(context)
    return {
        name.removeprefix(_LIVE).replace("_", "-"): "".join(render(values)).strip()
        for name, render in loaded.blocks.items()
        if name.startswith(_LIVE)
    }


def _shown(value: Any) -> Any:
    """What is written for a value: texts on one line, control characters and marks of direction as escapes."""
    if value is None:
        return ""
    return on_one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value
