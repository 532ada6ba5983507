"""The parts of an agent that depend on the volunteer's settings: watch, session, account, sources of data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.hub.account import account_token, ask_if_refused, is_at_terminal
from paris.node.hub.client import Hub
from paris.node.hub.mailbox import Mailbox
from paris.node.hub.tokens import PlainHttpError
from paris.node.join.request import Request
from paris.node.machine.machine import Machine
from paris.node.manners.decision import unmeasured
from paris.node.manners.watch import Sensors, Watch
from paris.node.retry import StopSignal
from paris.node.sharing.sharing import Sharing
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.node.swarm.session import RunSession
from paris.node.swarm.want_work import find_work
from paris.node.swarm.ways.dht import DhtWay
from paris.node.swarm.ways.hub import PATIENCE_S, HubWay
from paris.node.swarm.ways.line import LineWay
from paris.node.swarm.ways.ways import Ways
from paris.node.view import EventKind, View
from paris.node.work.data import DataSources
from paris.protocol.clock import jump_in_words
from paris.protocol.envelope import Envelope
from paris.protocol.invites import HeldInvite
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer, SequenceFile
from paris.protocol.signing import Identity


def watch_over(machine: Machine, view: View, request: Request) -> Watch:
    """The watch over the owner's settings; says which of them nothing on this machine measures."""
    hardware, own = machine.hardware, request.beside.process_id if request.beside else None
    watch = Watch(machine.config, Sensors(machine.config, hardware.device, hardware.gpu_uuid, own_process=own))
    watch.why_paused()
    for name in unmeasured(machine.config, watch.seen) if watch.seen else []:
        view.event(EventKind.NOTE, text=f"{name} is set, but nothing on this machine measures what it is about.")
    return watch


@contextlib.contextmanager
def announced_session(
    identity: Identity,
    machine: Machine,
    run: Envelope[RunSpec],
    swarm: Swarm,
    view: View,
    stop: StopSignal,
    invite: HeldInvite | None,
) -> Iterator[RunSession]:
    """A session whose announcer runs."""
    sealer = Sealer(identity, run.run_id, sequences=SequenceFile(machine.home.path / "sequence"))
    name = machine.config.name or f"volunteer-{identity.public_key[:6]}"

    def show_jump(jump_s: float) -> None:
        view.event(EventKind.NOTE, text=jump_in_words(jump_s))

    bits = run.payload.want_work_bits or 0
    work = find_work(machine.home.want_work(run.run_id), run.run_id, identity.public_key, bits, view, stop)
    ways = Ways([LineWay(swarm, sealer, run), DhtWay(swarm, sealer.public_key)])
    announcer = Announcer(ways, sealer, run.payload.heartbeat_every_s, show_jump)
    announcer.start()
    try:
        yield RunSession(run, name, sealer, swarm, announcer, work, invite)
    finally:
        announcer.stop()


def hub_account(
    session: RunSession, identity: Identity, machine: Machine, tokens: Path, *, asks: View | None, uploads: bool
) -> Hub:
    """The run's Hub, with the token to act there.

    Args:
        session: The run.
        identity: The volunteer's.
        machine: Its settings.
        tokens: The home that keeps the tokens.
        asks: Who joins at a terminal is asked for a token that the Hub knows, with this view held; None: never.
        uploads: A token is needed.

    Raises:
        PlainHttpError: It uploads, and its token would be sent over http to another machine.
    """
    config = machine.config
    endpoint = config.hub_endpoint or session.spec.hub_endpoint
    try:
        token = account_token(tokens, config, identity, endpoint)
    except PlainHttpError:
        if uploads:
            raise
        token = None
    if asks is not None and is_at_terminal():
        with asks.held():
            token = ask_if_refused(tokens, endpoint, token)
    return Hub(endpoint, token)


def add_hub_way(session: RunSession, hub: Hub) -> None:
    """Let records go by the Hub where no other way answers: at once, if none answered when this node joined."""
    ways = session.ways
    mailbox = Mailbox(hub, session.spec.model_repo, session.public_key)
    ways.add(HubWay(mailbox, session.run, ways.all, patience_s=PATIENCE_S if ways.is_up else 0.0))


def data_sources(
    session: RunSession, identity: Identity, machine: Machine, hub: Hub, stop: StopSignal, request: Request
) -> DataSources:
    """Where the units' files come from, within the volunteer's limits."""
    config = machine.config
    if config.hub_upload_bytes_per_s is not None:
        uploads = Bandwidth(config.hub_upload_bytes_per_s)
        hub.passed = lambda num_bytes: stop.pause(uploads.wait_s(num_bytes))
    others = request.beside.caches if request.beside else ()
    cache = Cache(machine.home.cache, config.cache_limit_bytes, others)
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
    return DataSources(hub, cache, Bandwidth(config.download_bytes_per_s), sharing)
