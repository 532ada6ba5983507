"""From an address to a handler, on the raw path: `refs%2Fpr%2F1` is one segment, which a decoded path would lose."""

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
    """One address pattern.

    `{x}` stands for one segment, `{x}.git` for one with that ending, `{x*}` for all that follow; `{kind}` only for
    `models` and `datasets`. A handler that is a coroutine reads the request's body itself; any other is given the whole
    body and runs in a thread.
    """

    method: str
    pattern: str
    handler: Handler
    is_commit: bool = False
    """Whether the body may be as large as a commit's."""

    @property
    def streams(self) -> bool:
        """Whether the handler reads the body itself."""
        return inspect.iscoroutinefunction(self.handler)

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The pattern's parameters, decoded, or None when the address is another's."""
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
        raise bad_request("The address is not UTF-8.") from error


def find_route(routes: list[Route], method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """The handler of an address.

    Args:
        routes: Tried in order.
        method: HTTP method; HEAD is answered as GET.
        raw_path: Path as it came, still encoded, without the query.

    Raises:
        Refusal: 404 for an address that is nobody's, 405 for one that takes other methods.
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
            405, f"{method} is not one of {', '.join(sorted(allowed))}.", headers={"Allow": ", ".join(sorted(allowed))}
        )
    raise Refusal(404, "This Hub knows no such address.")
