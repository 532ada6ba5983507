"""From the command line to a running agent: identity, RUN, DHT, machine, Hub; all of it is stopped at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

from paris.node.errors import StoppedError
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.hub.client import Hub
from paris.node.hub.tokens import hub_token, own_token
from paris.node.join.resolve import Address, newest, remember, resolve
from paris.node.machine.config import NodeConfig, load_config
from paris.node.machine.hardware import detect
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.machine.machine import Machine
from paris.node.retry import StopSignal
from paris.node.sharing.sharing import Sharing
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm, peer_starter
from paris.node.swarm.session import RunSession
from paris.node.view import EventKind, View
from paris.node.work.agent import Agent
from paris.node.work.data import DataSources
from paris.protocol.clock import jump_in_words
from paris.protocol.envelope import Envelope
from paris.protocol.errors import DaemonError, NoPeersError, UnreachableError, VersionError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.logs import log_to_file
from paris.protocol.records import RunSpec
from paris.protocol.sealer import Sealer, SequenceFile
from paris.protocol.signals import stop_signals
from paris.protocol.signing import Identity
from paris.protocol.version import SOFTWARE_VERSION

_logger = logging.getLogger(__name__)
_SEARCH_TRIES = 5


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    run: str
    home: Path
    run_id: str | None
    flags: Mapping[str, Any]
    """Settings given as flags; None means not given."""


def join(request: Request, view: View, *, max_tasks: int | None, task_wait_s: float | None) -> None:
    """Join a run and work for it.

    Raises:
        ParisError: The node ended before the run was complete.
    """
    stop = StopSignal()
    with stopping(stop) as received, running_agent(request, view, stop) as agent:
        try:
            agent.run(max_tasks=max_tasks, task_wait_s=task_wait_s)
        except StoppedError:
            if signal.SIGINT in received:
                raise
        finally:
            agent.leave()


@contextlib.contextmanager
def running_agent(request: Request, view: View, stop: StopSignal) -> Iterator[Agent]:
    """An agent whose DHT peer and announcer run, under the home's lock.

    Raises:
        IdentityError: Another node uses this home.
        NoPeersError: No peer answered, and there is no unfinished work to continue without the DHT.
        ParisError: RUN cannot be resolved, or a setting is invalid.
    """
    home = Home(request.home)
    with home_lock(home.path):
        log_to_file(home.log)
        _logger.info("paris-node %s, RUN %s", SOFTWARE_VERSION, request.run)
        config = load_config(home.path, os.environ, request.flags)
        identity = Identity.load_or_create(home.identity)
        token = hub_token(home.path, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
        address = resolve(request.run, home=home, config=config, run_id=request.run_id, token=token)
        run, swarm = _connect(address, home, config, view)
        try:
            machine = Machine(home, config, detect(config, home.path))
            with _session(identity, machine, run, swarm, view) as session:
                data = _data_sources(session, identity, machine)
                _show_joined(session, machine, view)
                yield Agent(session, data, machine, view, stop)
        finally:
            swarm.close()


@contextlib.contextmanager
def _session(
    identity: Identity, machine: Machine, run: Envelope[RunSpec], swarm: Swarm, view: View
) -> Iterator[RunSession]:
    """A session whose announcer runs."""
    sealer = Sealer(identity, run.run_id, sequences=SequenceFile(machine.home.path / "sequence"))
    name = machine.config.name or f"volunteer-{identity.public_key[:6]}"

    def show_jump(jump_s: float) -> None:
        view.event(EventKind.NOTE, text=jump_in_words(jump_s))

    announcer = Announcer(swarm, sealer, run.payload.heartbeat_every_s, show_jump)
    announcer.start()
    try:
        yield RunSession(run, name, sealer, swarm, announcer)
    finally:
        announcer.stop()


def _data_sources(session: RunSession, identity: Identity, machine: Machine) -> DataSources:
    home, config = machine.home, machine.config
    endpoint = config.hub_endpoint or session.spec.hub_endpoint
    token = hub_token(home.path, config, os.environ, endpoint) or own_token(identity, endpoint)
    cache = Cache(home.cache, config.cache_limit_bytes)
    sharing = None
    if config.share_shards:
        sharing = Sharing(
            swarm=session.swarm,
            identity=identity,
            run_id=session.run_id,
            cache=cache,
            announcer=session.announcer,
            upload=Bandwidth(config.upload_bytes_per_s),
            max_uploads=config.max_uploads,
        )
    return DataSources(Hub(endpoint, token), cache, Bandwidth(config.download_bytes_per_s), sharing)


def _show_joined(session: RunSession, machine: Machine, view: View) -> None:
    view.event(
        EventKind.JOINED,
        run_id=session.run_id,
        name=session.name,
        hardware=machine.hardware.label,
        device=machine.hardware.device,
        identity=session.public_key,
    )


def _connect(address: Address, home: Home, config: NodeConfig, view: View) -> tuple[Envelope[RunSpec], Swarm]:
    """Connect and read the newest RunSpec; without any peer, continue alone if there is unfinished work."""
    spec = address.spec
    if spec is not None:
        spec = remember(home, spec)
        require_new_enough(spec.payload)
    coordinator = None if spec is None else spec.signer
    swarm = Swarm(
        num_buckets=1 if spec is None else spec.payload.num_buckets,
        initial_peers=address.initial_peers if spec is None else spec.payload.initial_peers,
        start_peer=peer_starter(address.run_id, coordinator, config),
        on_change=lambda is_up: view.event(EventKind.DHT, is_up=is_up, text=_dht_text(is_up)),
    )
    try:
        swarm.connect()
    except (NoPeersError, UnreachableError, DaemonError) as error:
        if spec is None or home.unfinished(address.run_id) is None:
            raise
        _logger.info("Continuing without the DHT: %s", error)
        _logger.debug("Connecting failed", exc_info=True)
        view.event(EventKind.DHT, is_up=False, text="No peer answers; continuing alone with the unfinished task.")
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
    require_new_enough(spec.payload)
    swarm.num_buckets = spec.payload.num_buckets
    swarm.initial_peers = tuple(dict.fromkeys((*spec.payload.initial_peers, *address.initial_peers)))
    return spec


def require_new_enough(spec: RunSpec) -> None:
    """Refuse a run that needs a newer node.

    Raises:
        VersionError: This node must be updated.
    """
    if _version(SOFTWARE_VERSION) < _version(spec.min_node_version):
        raise VersionError(
            f"The run asks for paris-node {spec.min_node_version} or newer, this is {SOFTWARE_VERSION}.",
            "Update this side: pip install --upgrade paris-swarm.",
        )


@contextlib.contextmanager
def stopping(stop: StopSignal) -> Iterator[set[int]]:
    """SIGINT, SIGTERM and SIGHUP ask for a clean stop; a second SIGINT interrupts at once.

    Yields:
        The signals received so far.
    """
    received: set[int] = set()

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.add(number)
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, on_signal) for number in stop_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _dht_text(is_up: bool) -> str:
    return "The run's peers answer again." if is_up else "The run's peers do not answer; work continues; trying again."
