"""From the command line to a running node: identity, RUN, machine, Hub, peer; and back to nothing at the end."""

from __future__ import annotations

import contextlib
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
from paris.node.retry import StopSignal
from paris.node.sharing.sharing import Sharing
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm, peer_starter
from paris.node.view import EventKind, View
from paris.node.work.agent import Agent
from paris.node.work.node import Node
from paris.protocol.envelope import Envelope
from paris.protocol.errors import DaemonError, NoPeersError, UnreachableError, VersionError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.records import RunSpec
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.version import SOFTWARE_VERSION

_SEARCH_TRIES = 5


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    run: str
    home: Path
    run_id: str | None
    flags: Mapping[str, Any]
    """Settings given as flags; None means not given."""


def join(request: Request, view: View, *, max_tasks: int | None, task_wait_s: float | None) -> None:
    """Join a run and work for it.

    Raises:
        ParisError: Whatever ends the node before the run is complete.
    """
    stop = StopSignal()
    with stopping(stop) as received, running_node(request, view, stop) as node:
        agent = Agent(node)
        try:
            agent.run(max_tasks=max_tasks, task_wait_s=task_wait_s)
        except StoppedError:
            if signal.SIGINT in received:
                raise
        finally:
            agent.leave()


@contextlib.contextmanager
def running_node(request: Request, view: View, stop: StopSignal) -> Iterator[Node]:
    """A node whose peer and announcer run, under the home's lock; all of it is stopped at the end.

    Raises:
        IdentityError: Another node uses this home.
        NoPeersError: No peer answered, and there is no unfinished work to go on with alone.
        ParisError: RUN cannot be resolved, or a setting does not hold.
    """
    home = Home(request.home)
    with home_lock(home.path):
        config = load_config(home.path, os.environ, request.flags)
        identity = Identity.load_or_create(home.identity)
        token = hub_token(home.path, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
        address = resolve(request.run, home=home, config=config, run_id=request.run_id, token=token)
        run, swarm = _enter(address, home, config, view)
        try:
            sealer = Sealer(identity, run.run_id)
            with _announcing(swarm, sealer, run) as announcer:
                yield _assemble(home, config, identity, sealer, run, swarm, announcer, view, stop)
        finally:
            swarm.close()


def _assemble(
    home: Home,
    config: NodeConfig,
    identity: Identity,
    sealer: Sealer,
    run: Envelope[RunSpec],
    swarm: Swarm,
    announcer: Announcer,
    view: View,
    stop: StopSignal,
) -> Node:
    hardware = detect(config, home.path)
    endpoint = config.hub_endpoint or run.payload.hub_endpoint
    name = config.name or f"volunteer-{identity.public_key[:6]}"
    token = hub_token(home.path, config, os.environ, endpoint) or own_token(identity, endpoint)
    hub = Hub(endpoint, token)
    cache = Cache(home.cache, config.cache_limit_bytes)
    view.event(
        EventKind.JOINED,
        run_id=run.run_id,
        name=name,
        hardware=hardware.label,
        device=hardware.device,
        identity=identity.public_key,
    )
    sharing = None
    if config.share_shards:
        sharing = Sharing(
            swarm=swarm,
            identity=identity,
            run_id=run.run_id,
            cache=cache,
            announcer=announcer,
            upload=Bandwidth(config.upload_bytes_per_s),
            max_uploads=config.max_uploads,
        )
    download = Bandwidth(config.download_bytes_per_s)
    return Node(home, config, sealer, name, hardware, run, hub, cache, swarm, announcer, view, stop, download, sharing)


def _enter(address: Address, home: Home, config: NodeConfig, view: View) -> tuple[Envelope[RunSpec], Swarm]:
    """Connect, and read the newest RunSpec; without any peer, go on alone if there is work to go on with."""
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
    except (NoPeersError, UnreachableError, DaemonError):
        if spec is None or home.unfinished(address.run_id) is None:
            raise
        view.event(EventKind.DHT, is_up=False, text="No peer answers; going on alone with the unfinished task.")
        return spec, swarm
    try:
        return _read_run(swarm, address, home, spec), swarm
    except BaseException:
        swarm.close()
        raise


def _read_run(swarm: Swarm, address: Address, home: Home, spec: Envelope[RunSpec] | None) -> Envelope[RunSpec]:
    """The newest of what was given, what was kept, and what the DHT has.

    Raises:
        UnknownRunError: Neither a file nor the DHT knows the run.
    """
    found: list[Envelope[RunSpec]] = []
    for _ in range(_SEARCH_TRIES if spec is None else 1):
        found = cast(list[Envelope[RunSpec]], swarm.read("run"))
        if found:
            break
    if spec is None or found:
        spec = remember(home, newest(found, address.run_id))
    require_new_enough(spec.payload)
    swarm.num_buckets = spec.payload.num_buckets
    swarm.initial_peers = tuple(dict.fromkeys((*spec.payload.initial_peers, *address.initial_peers)))
    return spec


@contextlib.contextmanager
def _announcing(swarm: Swarm, sealer: Sealer, run: Envelope[RunSpec]) -> Iterator[Announcer]:
    announcer = Announcer(swarm, sealer, run.payload.heartbeat_every_s)
    announcer.start()
    try:
        yield announcer
    finally:
        announcer.stop()


def require_new_enough(spec: RunSpec) -> None:
    """Refuse a run that asks for a newer node.

    Raises:
        VersionError: This side must update.
    """
    if _version(SOFTWARE_VERSION) < _version(spec.min_node_version):
        raise VersionError(
            f"The run asks for paris-node {spec.min_node_version} or newer, this is {SOFTWARE_VERSION}.",
            "Update this side: pip install --upgrade paris-swarm.",
        )


@contextlib.contextmanager
def stopping(stop: StopSignal) -> Iterator[set[int]]:
    """SIGINT and SIGTERM ask for a clean stop; a second SIGINT interrupts at once.

    Yields:
        The signals received so far.
    """
    received: set[int] = set()

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.add(number)
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _dht_text(is_up: bool) -> str:
    return "The run's peers answer again." if is_up else "The run's peers do not answer; work goes on, trying again."
