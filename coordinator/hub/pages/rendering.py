"""Templates, the headers of a page, and pages of refusals."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal
from paris.protocol.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def render(call: Call, template: str, *, http_status: int = 200, **values: Any) -> Response:
    """A page as an answer.

    Args:
        call: The request.
        template: File in `templates/`.
        http_status: Of the answer.
        values: What the template shows; texts are made printable and escaped.
    """
    shared = {"root": call.request.scope.get("root_path", ""), "user": call.user}
    text = _environment().get_template(template).render({**shared, **values})
    return HTMLResponse(text, http_status, headers=_headers())


def page(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """The handler of a page, whose refusals are pages, too."""

    @wraps(handler)
    def shown(call: Call) -> Response:
        try:
            return handler(call)
        except Refusal as refusal:
            answer = render(call, "refusal.html", http_status=refusal.status, title="Not shown", what=refusal.what)
            answer.headers.update(refusal.headers)
            return answer

    return shown


@cache
def _environment() -> Environment:
    # Imported for the first page: a Hub that nobody looks at need not hold it.
    from paris.protocol.templates import template_environment

    environment = template_environment(_HERE / "templates")
    environment.globals["style"] = Markup(_style())
    environment.filters |= {"when": _when, "bytes": size_text, "lines": _lines}
    return environment


@cache
def _style() -> str:
    return (_HERE / "assets" / "pages.css").read_text("utf-8")


@cache
def _headers() -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Vary": "Authorization",
    }


def _lines(text: str) -> Markup:
    """A text with its line breaks."""
    return escape(printable(text))


def _when(at: float) -> Markup:
    moment = datetime.fromtimestamp(at, UTC)
    return Markup(f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>')


def size_text(number: float) -> str:
    """Bytes for people, such as `1.5 MB`."""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"
