"""What every request must be before anything answers it, and the headers of every answer.

A page of strangers in the volunteer's browser can send requests here: under a name of its own that it points at this
machine, so the Host header must name this machine; or as a form or a stream of another site, so Origin must be this
page. Other users of the machine can connect, so everything but the door asks for a session.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paris.node.page.sessions import Sessions
from paris.protocol.secrets import is_loopback

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::([0-9]{1,5}))?")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send the forms' Origin as "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MAX_ADDRESS_BYTES, _MAX_HEADER_BYTES = 1024, 16_384
DOOR = "/enter"
_OPEN = ("/", DOOR)
"""Paths that look at the session themselves."""
ASSETS = "/assets/"
METRICS = "/metrics"


@dataclass(frozen=True)
class Bound:
    """Where the page listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can connect."""
        return is_loopback(f"http://{_bracketed(self.host)}")

    @property
    def cookie(self) -> str:
        """Name of the session's cookie. Browsers share cookies among the ports of a host, nodes do not."""
        return f"paris_node_{self.port}"

    def is_named_by(self, host: str) -> bool:
        """Whether a Host header names this page.

        On loopback that takes a name of this machine and the port. Elsewhere any number address will do, of a
        container's published port too: names in the DNS can be pointed here by strangers, numbers cannot.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        if self.is_loopback:
            return is_loopback(f"http://{host}") and int(found[2] or 80) == self.port
        return found[1] == "localhost" or _is_number(found[1].strip("[]"))


class Guard:
    """Refuses what nobody but this page's browsers would send, and passes on the rest.

    Args:
        app: Answers the rest.
        bound: Where it listens.
        sessions: Who may see it.
    """

    def __init__(self, app: ASGIApp, bound: Bound, sessions: Sessions) -> None:
        self._app, self._bound, self._sessions = app, bound, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            return
        refusal = self._refusal(HTTPConnection(scope), scope["method"])
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection, method: str) -> PlainTextResponse | None:
        host = request.headers.get("host", "")
        if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > _MAX_ADDRESS_BYTES:
            return PlainTextResponse("This address is too long.\n", 414)
        if sum(len(name) + len(value) for name, value in request.headers.raw) > _MAX_HEADER_BYTES:
            return PlainTextResponse("The headers are too long.\n", 431)
        if not self._bound.is_named_by(host):
            return PlainTextResponse("Open the page at the address that the node printed.\n", 421)
        if not is_of_this_page(request.headers, host, must_say=method not in ("GET", "HEAD")):
            return PlainTextResponse("This request is not of this page. Nothing was done.\n", 403)
        path = request.url.path
        if path in _OPEN or path.startswith(ASSETS):
            return None
        if path == METRICS and self._sessions.reads_metrics(request.headers.get("authorization", "")):
            return None
        if not self._sessions.is_open(request.cookies.get(self._bound.cookie)):
            return PlainTextResponse("Open the address that the node printed first.\n", 401)
        return None


def is_of_this_page(headers: Headers, host: str, *, must_say: bool) -> bool:
    """Whether a request is of this page, or of nobody's: typed, or a link.

    Args:
        headers: Of the request.
        host: Its Host header, which was checked.
        must_say: It needs an Origin. Without one it may be of another site's link; then it comes without the session's
            cookie, which is SameSite=Strict. Other ports of this machine are the same site, so what is no link must
            be of this page by Sec-Fetch-Site, too.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    if origin is not None or must_say:
        return origin == f"http://{host}" and site == "same-origin"
    return site in ("same-origin", "none") or headers.get("sec-fetch-mode") == "navigate"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
