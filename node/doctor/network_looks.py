"""Proxies, the ports to listen on, and this machine's addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.request import getproxies

from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.hub.client import Hub
from paris.node.machine.own_addresses import Ip, own_ips
from paris.protocol.addresses import refuse_quic, require_free_port
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.hub_session import proxy_address

_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Of providers that translate the addresses of many customers: RFC 6598."""


def proxies(known: Known) -> Iterator[Finding]:
    """The proxies in force, and whether their addresses can be used."""
    found = {scheme: url for scheme, url in sorted(getproxies().items()) if scheme != "no"}
    if not found:
        yield fine("proxies", "none")
        return
    Hub(PUBLIC_ENDPOINT, None)  # makes the client, which refuses an unusable address, and asks nothing
    named = ", ".join(f"{scheme}: {proxy_address(url)}" for scheme, url in found.items())
    yield fine("proxies", f"{named}; for the Hub alone, peers are dialled directly")


def ports(known: Known) -> Iterator[Finding]:
    """Whether the node can listen where it is set to."""
    config = known.config
    if not config.host_dht:
        yield fine("ports", "none opened: this node only dials out")
        return
    if known.is_running:
        yield fine("ports", f"{', '.join(config.listen)}: held by the running node")
        return
    for listen in config.listen:
        refuse_quic(listen)
        require_free_port(listen, wait_s=0)
    inner = [listen for listen in config.listen if _is_loopback(listen)]
    if inner:
        yield warning(
            "ports",
            f"{', '.join(inner)} can be reached from this machine alone.",
            'Set listen = ["/ip4/0.0.0.0/tcp/PORT"], or host_dht = false.',
        )
        return
    yield fine("ports", f"can listen on {', '.join(config.listen)}")


def addresses(known: Known) -> Iterator[Finding]:
    """Whether a router translates this machine's addresses, as far as they tell."""
    ips = own_ips()
    shown = ", ".join(map(str, ips))
    if not ips:
        yield problem("addresses", "This machine has no address but loopback.", "Connect it to a network.")
    elif public := [str(ip) for ip in ips if ip.is_global]:
        yield fine("addresses", f"{', '.join(public)}: public, reachable where no firewall refuses")
    else:
        yield fine("addresses", f"{shown}: behind {_translator(ips)}; dialling out works without more")


def _translator(ips: list[Ip]) -> str:
    if any(ip in _SHARED for ip in ips):
        return "a provider's shared address, of which no port can be forwarded"
    return "a router that translates addresses (NAT)"


def _is_loopback(listen: str) -> bool:
    host = (*listen.split("/"), "", "", "")[2]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
