"""Who may see what. The organiser's page is for this machine alone; the world sees the public page, where there is one.

A browser on this machine may be led here by a page of strangers, under a name of theirs that they point at 127.0.0.1,
and a proxy on this machine passes on the requests of others. So the address in the Host header must name this machine
too, and no header may say that a proxy was on the way.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum

from starlette.requests import HTTPConnection

from paris.protocol.secrets import is_loopback

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(:[0-9]{1,5})?")
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Viewer(StrEnum):
    """Who asks."""

    ORGANISER = "organiser"
    """Somebody on this machine."""
    WORLD = "world"


def viewer_of(request: HTTPConnection) -> Viewer:
    """Who asks, by the connection and its headers."""
    is_passed_on = any(name in request.headers for name in _OF_PROXIES)
    is_near = request.client is not None and _is_this_machine(request.client.host)
    is_named = _names_this_machine(request.headers.get("host", ""))
    return Viewer.ORGANISER if is_near and is_named and not is_passed_on else Viewer.WORLD


def base_of(request: HTTPConnection) -> str:
    """Scheme, host and port that a request asked for; empty where its Host header is none."""
    host = request.headers.get("host", "")
    return f"{request.scope['scheme']}://{host}" if _HOST.fullmatch(host) else ""


def _names_this_machine(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) and is_loopback(f"http://{host}")


def _is_this_machine(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
