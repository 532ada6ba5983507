"""All looks, in an order in which each finds what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from paris.node.doctor.daemon_looks import daemon, peers, records, relay
from paris.node.doctor.finding import Finding
from paris.node.doctor.home_looks import disk, home, identity, settings
from paris.node.doctor.hub_looks import clock, hub, token
from paris.node.doctor.known import Known
from paris.node.doctor.looks import Look, look_at
from paris.node.doctor.machine_looks import device, manners, memory, versions
from paris.node.doctor.network_looks import addresses, ports, proxies
from paris.node.doctor.run_looks import fit, run
from paris.node.doctor.trial_look import TRIAL_LIMIT_S, trial

_See = Callable[[Known], Iterator[Finding]]
_OF_THE_MACHINE: tuple[_See, ...] = (
    settings,
    versions,
    home,
    identity,
    disk,
    device,
    memory,
    manners,
    proxies,
    ports,
    addresses,
)
_OF_THE_RUN: tuple[_See, ...] = (daemon, peers, records, relay, hub, clock, token, fit)
_LIMITS_S = {daemon: 90.0, peers: 60.0, relay: 90.0, trial: TRIAL_LIMIT_S + 10}
"""Of looks that may take longer than most."""


def examine(known: Known, beginning: Callable[[str], None]) -> Iterator[Finding]:
    """Look at the machine, and at the run if there is one; then take a training step.

    Args:
        known: What is asked for; it is filled in on the way.
        beginning: Called with the name of each look before it begins.
    """
    try:
        yield from _looked(_OF_THE_MACHINE, known, beginning)
        if known.run is None:
            yield from _looked((daemon,), known, beginning)
        else:
            yield from _looked((run,), known, beginning)
            yield from _looked(_OF_THE_RUN if known.address else (), known, beginning)
        yield from _looked((trial,), known, beginning)
    finally:
        if known.peer is not None:
            known.peer.stop()


def _looked(sees: tuple[_See, ...], known: Known, beginning: Callable[[str], None]) -> Iterator[Finding]:
    for see in sees:
        name = "p2pd" if see is daemon else "training" if see is trial else see.__name__
        beginning(name)
        limit = {"limit_s": _LIMITS_S[see]} if see in _LIMITS_S else {}
        yield from look_at(Look(name, partial(see, known), **limit))
