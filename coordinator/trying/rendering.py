"""Templates of the page and of the export; every text is made printable and escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paris.coordinator.trying.messages import MOST_GUIDANCE, MOST_PROMPT_CHARS, MOST_STEPS, RoutingName
from paris.coordinator.trying.strip import strip_of
from paris.protocol.printable import on_one_line

ASSETS = Path(__file__).parent / "assets"
_TEMPLATES = Path(__file__).parent / "templates"


def make_environment() -> Environment:
    """The templates, with what they use."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "strip_of": strip_of,
        "routings": get_args(RoutingName),
        "most": {"prompt": MOST_PROMPT_CHARS, "steps": MOST_STEPS, "guidance": MOST_GUIDANCE},
    }
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    return environment


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return on_one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value
