"""Redirects of a Hub that lead into a private network.

A run names its Hub. A hostile one could redirect a volunteer's requests to services that only the volunteer's own
machine or network reaches, such as a router's pages or a cloud's metadata.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

Resolve = Callable[[str], list[str]]
"""The numeric addresses of a host name."""


def why_inward(asked: str, location: str, resolve: Resolve) -> str | None:
    """Why a redirect is not followed; None if it may be.

    A Hub on this machine may redirect anywhere, one in a private network into private networks, others to the internet.

    Args:
        asked: URL of the request that was answered.
        location: Where it redirects to, absolute or relative.
        resolve: Looks up host names; empty where only the proxy does.
    """
    here = urlsplit(asked).hostname or ""
    try:
        there = urlsplit(urljoin(asked, location)).hostname or ""
    except ValueError:
        return "it redirects to something that is no address"
    if here == there or _reach(there, resolve) <= _reach(here, resolve):
        return None
    return f"it redirects to {there}, which is not on the internet"


def addresses_of(host: str) -> list[str]:
    """The system's answer for a host name; empty if it has none."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):  # UnicodeError: a label is empty or too long
        return []


def _reach(host: str, resolve: Resolve) -> int:
    """0: on the internet, or unknown; 1: in a private network; 2: this machine, or this link."""
    try:
        numbers = [ipaddress.ip_address(host)]
    except ValueError:
        numbers = [ipaddress.ip_address(number.partition("%")[0]) for number in resolve(host)]
    return max((_reach_of(number) for number in numbers), default=0)


def _reach_of(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    if number.is_loopback or number.is_link_local or number.is_unspecified:
        return 2
    return 0 if number.is_global else 1
