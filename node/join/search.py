"""From RUN to a connection with its peers; an unattended node waits for a run that does not answer."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from paris.node.errors import RunUnansweredError
from paris.node.hub.client import Hub
from paris.node.hub.mailbox import Mailbox
from paris.node.hub.tokens import hub_token
from paris.node.join.resolve import URL_STARTS, Address, is_repo, newest, remember, resolve
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.retry import LONGEST_WAIT_S, Backoff, Wait
from paris.node.swarm.connection import Swarm, peer_starter
from paris.node.swarm.ways.hub import mailboxes_are_read
from paris.node.view import EventKind, View
from paris.protocol.envelope import Envelope
from paris.protocol.errors import (
    ClockError,
    DaemonError,
    NoPeersError,
    SlowStartError,
    UnreachableError,
)
from paris.protocol.run_records import RunSpec
from paris.protocol.version import require_software

_logger = logging.getLogger(__name__)
_SEARCH_TRIES = 5
_PASSING = (RunUnansweredError, NoPeersError, UnreachableError, ClockError, SlowStartError)
"""What a machine meets that starts before its network, its clock, or the organiser's machine."""
T = TypeVar("T")


@dataclass(frozen=True)
class Search:
    """What is needed to find a run and its peers."""

    run: str
    """As typed."""
    run_id: str | None
    token: str | None
    home: Home
    config: NodeConfig
    view: View

    def connect(self) -> tuple[Envelope[RunSpec], Swarm]:
        """The run's description and its peers; asked again at each try, since the peers may have moved.

        Raises:
            RunUnansweredError, NoPeersError, UnreachableError, ClockError, SlowStartError: A later try may work.
            ParisError: RUN is no run, or the run cannot be joined.
        """
        return connect_to(self.address(), self.home, self.config, self.view)

    def address(self) -> Address:
        """What RUN names.

        An address that led to a run before, and does not answer now, stands for the description saved then.

        Raises:
            RunUnansweredError: A later try may work.
            ParisError: RUN is no run.
        """
        try:
            address = resolve(self.run, home=self.home, config=self.config, run_id=self.run_id, token=self.token)
        except RunUnansweredError as error:
            run_id = self.home.run_at(self.run)
            if run_id is None or self.run_id not in (None, run_id):
                raise
            _logger.info("Going on with the saved description of %s: %s", run_id, error)
            address = resolve(run_id, home=self.home, config=self.config, run_id=None, token=None)
        else:
            if self.run.startswith(URL_STARTS) or is_repo(self.run):
                self.home.note_address(self.run, address.run_id)
        return address


def is_first_at_a_terminal(home: Home) -> bool:
    """Whether somebody watches the first join of this home: a mistyped address should end it at once."""
    return sys.stderr.isatty() and not home.run_ids()


def wait_for_answer(
    connect: Callable[[], T],
    *,
    view: View,
    pause: Wait,
    max_tries: int | None,
) -> T:
    """Try until the run and its peers answer; each new reason is one line.

    Args:
        connect: Safe to repeat.
        view: Shows the reasons.
        pause: Waits, or raises StoppedError.
        max_tries: None: no limit.

    Raises:
        ParisError: Of the last try; or one that waiting cannot help.
    """
    failures, shown, backoff = 0, "", Backoff(first_s=2.0, cap_s=LONGEST_WAIT_S)
    while True:
        try:
            return connect()
        except _PASSING as error:
            failures += 1
            if max_tries is not None and failures >= max_tries:
                raise
            _logger.debug("Try %d failed", failures, exc_info=True)
            wait_s = backoff.wait_s(failures)
            if error.what != shown:
                shown = error.what
                view.event(EventKind.RETRYING, text=shown, wait_s=wait_s)
            pause(wait_s)


def connect_to(address: Address, home: Home, config: NodeConfig, view: View) -> tuple[Envelope[RunSpec], Swarm]:
    """Connect and read the newest RunSpec; without any peer, go on with unfinished work, or by a mailbox on the Hub."""
    spec = address.spec
    if spec is not None:
        spec = remember(home, spec)
        require_software(spec.payload.min_node_version)
    coordinator = None if spec is None else spec.signer
    swarm = Swarm(
        num_buckets=1 if spec is None else spec.payload.num_buckets,
        initial_peers=address.initial_peers if spec is None else spec.payload.initial_peers,
        start_peer=peer_starter(
            address.run_id, coordinator, config, run_relays=spec is not None and bool(spec.payload.peers_relay)
        ),
        on_change=lambda is_up: view.event(EventKind.DHT, is_up=is_up, text=_dht_text(is_up)),
        remember=lambda run: remember(home, run),
    )
    try:
        swarm.connect()
    except (*_PASSING, DaemonError) as error:
        if spec is None:
            raise
        has_work = home.unfinished(address.run_id) is not None
        if not has_work and (isinstance(error, ClockError) or not _are_mailboxes_read(spec, home, config)):
            raise
        _logger.info("Continuing without the DHT: %s", error)
        _logger.debug("Connecting failed", exc_info=True)
        why = error.what.rstrip(".") if isinstance(error, ClockError) else "No peer answers"
        then = "continuing alone with the unfinished task" if has_work else "records go by a pull request on the Hub"
        view.event(EventKind.DHT, is_up=False, text=f"{why}; {then}.")
        return spec, swarm
    try:
        return _read_run(swarm, address, home, spec), swarm
    except BaseException:
        swarm.close()
        raise


def _read_run(swarm: Swarm, address: Address, home: Home, spec: Envelope[RunSpec] | None) -> Envelope[RunSpec]:
    """The newest RunSpec: the given one, the saved one, or the DHT's.

    Raises:
        UnknownRunError: Neither a file nor the DHT has one.
    """
    published: list[Envelope[RunSpec]] = []
    for _ in range(_SEARCH_TRIES if spec is None else 1):
        published = cast(list[Envelope[RunSpec]], swarm.read("run"))
        if published:
            break
    if spec is None or published:
        spec = remember(home, newest(published, address.run_id))
    require_software(spec.payload.min_node_version)
    swarm.num_buckets = spec.payload.num_buckets
    swarm.given_peers = address.initial_peers
    swarm.follow(spec)
    return spec


def _are_mailboxes_read(spec: Envelope[RunSpec], home: Home, config: NodeConfig) -> bool:
    endpoint = config.hub_endpoint or spec.payload.hub_endpoint
    hub = Hub(endpoint, hub_token(home.path, config, os.environ, endpoint))
    return mailboxes_are_read(Mailbox(hub, spec.payload.model_repo, ""))


def _dht_text(is_up: bool) -> str:
    return "The run's peers answer again." if is_up else "The run's peers do not answer; work continues; trying again."
