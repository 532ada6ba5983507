"""Templates of the page and of the export; every text is made printable and escaped."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from jinja2 import Environment

from paris.coordinator.trying.messages import MOST_GUIDANCE, MOST_PROMPT_CHARS, MOST_STEPS, RoutingName
from paris.coordinator.trying.strip import strip_of
from paris.protocol.templates import template_environment

ASSETS = Path(__file__).parent / "assets"
_TEMPLATES = Path(__file__).parent / "templates"


def make_environment() -> Environment:
    """The templates, with what they use."""
    environment = template_environment(_TEMPLATES)
    environment.globals |= {
        "strip_of": strip_of,
        "routings": get_args(RoutingName),
        "most": {"prompt": MOST_PROMPT_CHARS, "steps": MOST_STEPS, "guidance": MOST_GUIDANCE},
    }
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    return environment
