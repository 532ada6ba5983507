"""The network addresses of this machine."""

from __future__ import annotations

import ipaddress
import socket

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def own_ips() -> list[Ip]:
    """Addresses of interfaces that are up, IPv4 first, without loopback and link-local ones."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    rows = [row for name, rows in psutil.net_if_addrs().items() if name in up for row in rows]
    texts = [row.address.partition("%")[0] for row in rows if row.family in (socket.AF_INET, socket.AF_INET6)]
    ips = [ipaddress.ip_address(text) for text in texts]
    return sorted((ip for ip in ips if not ip.is_loopback and not ip.is_link_local), key=lambda ip: (ip.version, ip))


def is_behind_router() -> bool:
    """Whether no address is public: then no other machine can connect to this one by it."""
    return not any(ip.is_global for ip in own_ips())
