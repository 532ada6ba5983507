"""From paths to handlers. Matches the raw path, in which `refs%2Fpr%2F1` is one segment."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.responses import Response

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.names import KINDS

Handler = Callable[[Call], Response] | Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One path pattern and its handler.

    `{x}` matches one segment, `{x}.git` one with this ending, `{x*}` all remaining ones; `{kind}` matches `models` and
    `datasets` only. A coroutine reads the request's body itself; any other handler gets the whole body and runs in a
    thread.
    """

    method: str
    pattern: str
    handler: Handler
    admit: Callable[[Call], object] | None = None
    """Checks the user before the body is read; by default, that there is a token for any method but GET."""
    is_commit: bool = False
    """Whether the body is a file bounded by `max_commit_bytes`, instead of bytes bounded by `max_request_bytes`."""

    @property
    def streams(self) -> bool:
        """Whether the handler reads the body itself."""
        return inspect.iscoroutinefunction(self.handler)

    def check(self, call: Call) -> None:
        """Refuse a request before its body is read.

        Raises:
            Refusal: The user lacks the right.
        """
        if self.admit is not None:
            self.admit(call)
        elif self.method != "GET":
            call.require_login()

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The decoded parameters, or None if the path does not match."""
        wanted = self.pattern.split("/")
        takes_rest = wanted[-1].endswith("*}")
        if len(segments) < len(wanted) if takes_rest else len(segments) != len(wanted):
            return None
        params: dict[str, str] = {}
        for index, pattern in enumerate(wanted):
            if pattern.endswith("*}"):
                params[pattern[1:-2]] = "/".join(_decode(segment) for segment in segments[index:])
                break
            if not _match_segment(pattern, segments[index], params):
                return None
        return params


def _match_segment(pattern: str, segment: str, params: dict[str, str]) -> bool:
    if not pattern.startswith("{"):
        return pattern == segment
    name, ending = pattern[1:].split("}")
    if not segment.endswith(ending) or len(segment) == len(ending):
        return False
    value = _decode(segment[: len(segment) - len(ending)])
    params[name] = value
    return name != "kind" or value in KINDS


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise bad_request("The path is not UTF-8.") from error


def find_route(routes: list[Route], method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """The first matching route, with its parameters.

    Args:
        routes: Matched in order.
        method: HTTP method; HEAD is routed as GET.
        raw_path: Encoded path, without the query.

    Raises:
        Refusal: 404 for an unknown path, 405 for a known path with another method.
    """
    segments = raw_path.strip("/").split("/")
    wanted = "GET" if method == "HEAD" else method
    allowed: set[str] = set()
    for route in routes:
        params = route.match(segments)
        if params is not None:
            if route.method == wanted:
                return route, params
            allowed.add(route.method)
    if allowed:
        raise Refusal(
            405,
            f"The method {method} is not allowed; allowed: {', '.join(sorted(allowed))}.",
            headers={"Allow": ", ".join(sorted(allowed))},
        )
    raise Refusal(404, "This Hub has no such path.")
