"""The libp2p daemon, and the run's peers and records as this machine sees them through it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from paris.node.doctor.finding import Finding, Level, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.doctor.looks import Look, look_at_all
from paris.node.join.resolve import newest
from paris.node.machine.own_addresses import is_behind_router
from paris.node.swarm.connection import peer_starter
from paris.protocol.addresses import is_relayed, split_peer_address
from paris.protocol.envelope import Envelope
from paris.protocol.errors import AddressError, ClockError, UnreachableError, reason_of
from paris.protocol.run_records import RunSpec
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity

_CONNECT_TIMEOUT_S = 5.0
_PEER_LIMIT_S = 45.0
_ASK = "Ask the organiser for the run's present peers."


def daemon(known: Known) -> Iterator[Finding]:
    """Start this command's own peer: it only dials out, unless the volunteer's node is to listen and does not run."""
    run_id = known.address.run_id if known.address else make_run_id("doctor", Identity.generate().public_key)
    is_host = known.config.host_dht and not known.is_running
    config = known.config.model_copy(update={"host_dht": is_host})
    began = time.monotonic()
    known.peer = peer_starter(run_id, known.spec.signer if known.spec else None, config, run_relays=_run_relays(known))(
        ()
    )
    how = f"listens on {', '.join(known.peer.addresses)}" if is_host else "only dials out"
    yield fine("p2pd", f"starts in {time.monotonic() - began:.1f} s, {how}")


def relay(known: Known) -> Iterator[Finding]:
    """Whether a node that listens behind a router is reached through the run's peers: it takes a place at them."""
    config, is_on = known.config, _uses_relay(known)
    if not is_on:
        yield fine("relay", "off" if config.use_relay is False else "off: the run's peers do not relay")
    elif not config.host_dht:
        yield fine("relay", "on, to reach volunteers behind routers; this node does not listen")
    elif config.announce or not is_behind_router():
        yield fine("relay", "on, and not needed to be reached: this machine has a public address")
    elif known.address is not None and known.num_peers_that_answer:
        listening = config.model_copy(update={"listen": ("/ip4/0.0.0.0/tcp/0",)})  # the node itself may have the port
        start = peer_starter(known.address.run_id, None, listening, run_relays=True)
        with start(known.address.initial_peers) as peer:
            places = sum(map(is_relayed, peer.addresses))
        if places:
            yield fine("relay", f"on: others reach this node through {places} of the run's peers")
        else:
            yield warning(
                "relay", "No peer of the run gave this node a place.", f"Forward a port and set announce. {_ASK}"
            )


def peers(known: Known) -> Iterator[Finding]:
    """Connect to each initial peer, and ask the DHT behind it. With one that answers, others are no obstacle."""
    addresses = known.address.initial_peers if known.address else ()
    if not addresses:
        yield problem("peers", "The run's description names no peers.", _ASK)
        return
    looks = [Look(f"peer {address}", partial(_peer, known, address), _PEER_LIMIT_S) for address in addresses]
    found = [finding for findings in look_at_all(looks) for finding in findings]
    known.num_peers_that_answer = sum(finding.level is Level.OK for finding in found)
    for finding in found:
        is_spare = known.num_peers_that_answer and finding.level is Level.PROBLEM
        yield replace(finding, level=Level.WARNING) if is_spare else finding


def records(known: Known) -> Iterator[Finding]:
    """What the peers hold of the run: its newest description, and its tasks."""
    if known.peer is None or known.address is None or not known.num_peers_that_answer:
        return
    published = cast(list[Envelope[RunSpec]], known.peer.read("run"))
    if published or known.spec is None:
        known.spec = newest([*published, *([known.spec] if known.spec else [])], known.address.run_id)
    known.tasks = [envelope.payload for envelope in known.peer.read("task")]  # type: ignore[misc]
    if not published:
        yield warning(
            "records",
            "The peers that answer hold no description of the run.",
            "Its coordinator may be down: join waits.",
        )
    elif not known.tasks:
        yield warning(
            "records", "The peers hold no task of the run.", "Its coordinator may be down: join waits for one."
        )
    elif not known.open_tasks:
        yield fine("records", f"tasks: {len(known.tasks)}, none open now: join waits for one")
    else:
        yield fine("records", f"tasks: {len(known.tasks)}, open: {len(known.open_tasks)}")


def _run_relays(known: Known) -> bool:
    return known.spec is not None and bool(known.spec.payload.peers_relay)


def _uses_relay(known: Known) -> bool:
    return _run_relays(known) if known.config.use_relay is None else known.config.use_relay


def _peer(known: Known, address: str) -> Iterator[Finding]:
    name = f"peer {address}"
    began = time.monotonic()
    try:
        _connect(address)
    except OSError as error:
        yield problem(
            name, f"No answer: {error.strerror or reason_of(error)}.", f"Check the network and firewall. {_ASK}"
        )
        return
    answer_ms = 1000 * (time.monotonic() - began)
    if known.peer is None:
        yield warning(name, "The port answers; who is there was not asked, without p2pd.", "See the finding p2pd.")
        return
    error_of_peer = known.peer.try_peer(address)
    if error_of_peer is None:
        yield fine(name, f"answers in {answer_ms:.0f} ms, with its identity")
    elif isinstance(error_of_peer, ClockError | UnreachableError | AddressError):
        known.clock_is_refused |= isinstance(error_of_peer, ClockError)
        yield problem(name, error_of_peer.what, error_of_peer.next_step)
    else:
        cause = error_of_peer.what.removeprefix(f"{address}: ")
        yield problem(name, f"The port answers, but not as this peer: {cause}", f"A proxy or a login page? {_ASK}")


def _connect(address: str) -> None:
    """Open a TCP connection to the machine of a multiaddr, and close it.

    Raises:
        AddressError: It is no address of a peer over TCP.
        OSError: No connection.
    """
    where, _ = split_peer_address(address)
    parts = where.split("/")
    is_known = len(parts) >= 5 and parts[1] in ("ip4", "ip6", "dns", "dns4", "dns6") and parts[3] == "tcp"
    if not is_known or not parts[4].isdecimal() or int(parts[4]) > 65535:
        raise AddressError(f"{address} is not the address of a peer over TCP.", "It reads /ip4/HOST/tcp/PORT/p2p/ID.")
    socket.create_connection((parts[2], int(parts[4])), timeout=_CONNECT_TIMEOUT_S).close()
