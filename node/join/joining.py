"""From the command line to a running agent: identity, RUN, DHT, machine, Hub; all of it is stopped at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

from paris.node.control.server import control_socket
from paris.node.control.wishes import Wishes
from paris.node.errors import StoppedError
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.hub.account import account_token, ask_if_refused, is_at_terminal
from paris.node.hub.client import Hub
from paris.node.hub.tokens import PlainHttpError, hub_token
from paris.node.join.answers import Answers
from paris.node.join.own_page import OwnPage
from paris.node.join.search import Search, is_first_at_a_terminal, wait_for_answer
from paris.node.machine.config import load_config
from paris.node.machine.credits import credits_of
from paris.node.machine.hardware import detect
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.machine.machine import Machine
from paris.node.manners.decision import unmeasured
from paris.node.manners.watch import Sensors, Watch
from paris.node.retry import StopSignal
from paris.node.sharing.sharing import Sharing
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.node.swarm.invite import find_invite
from paris.node.swarm.session import RunSession
from paris.node.swarm.want_work import find_work
from paris.node.swarm.ways.dht import DhtWay
from paris.node.swarm.ways.ways import Ways
from paris.node.view import EventKind, View
from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.node.view.views import NotingView
from paris.node.work.agent import Agent
from paris.node.work.data import DataSources
from paris.protocol.clock import jump_in_words
from paris.protocol.envelope import Envelope
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.invites import HeldInvite
from paris.protocol.logs import log_to_file
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.sealer import Sealer, SequenceFile
from paris.protocol.signals import stop_signals
from paris.protocol.signing import Identity
from paris.protocol.version import SOFTWARE_VERSION

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    run: str
    home: Path
    run_id: str | None
    flags: Mapping[str, Any]
    """Settings given as flags; None means not given."""
    invite: str | None = None
    """As `paris-coord invite` printed it."""


Introduce = Callable[[Envelope[RunSpec], Callable[[], list[Task]], Machine, Hub], None]
"""Tells the volunteer what the run is and takes, by its description and, where they are asked for, its tasks; raises
StoppedError where the volunteer does not want to join."""


def join(
    request: Request,
    view: View,
    *,
    max_tasks: int | None,
    task_wait_s: float | None,
    introduce: Introduce | None = None,
) -> None:
    """Join a run and work for it.

    Args:
        request: What to join.
        view: Shows what happens.
        max_tasks: Leave after so many; None: when the run is complete.
        task_wait_s: Leave when no task comes for so long; None: never.
        introduce: Called before the run is told of this volunteer.

    Raises:
        ParisError: The node ended before the run was complete.
    """
    stop, board, course = StopSignal(), Board(), Course()
    answers, shown = Answers(Wishes(stop), board), NotingView(view, board, course)
    with stopping(stop) as received:
        try:
            page = OwnPage(answers, board, course, shown)
            with running_agent(
                request, shown, stop, waits=True, uploads=True, answers=answers, page=page, introduce=introduce
            ) as agent:
                _work(agent, answers.wishes, shown, max_tasks=max_tasks, task_wait_s=task_wait_s)
        except StoppedError:
            if signal.SIGINT in received:
                raise


def _work(agent: Agent, wishes: Wishes, view: View, *, max_tasks: int | None, task_wait_s: float | None) -> None:
    """Let the agent work, then tell the coordinator that it ends; or give the task back, if that is asked for."""
    try:
        agent.run(max_tasks=max_tasks, task_wait_s=task_wait_s)
    except StoppedError:
        if not wishes.is_leaving:
            raise
        wishes.stop.clear()
        view.event(EventKind.DONE, text=agent.give_back())
    finally:
        agent.leave()


@contextlib.contextmanager
def running_agent(
    request: Request,
    view: View,
    stop: StopSignal,
    *,
    waits: bool = False,
    uploads: bool = False,
    answers: Answers | None = None,
    page: OwnPage | None = None,
    introduce: Introduce | None = None,
) -> Iterator[Agent]:
    """An agent whose DHT peer and announcer run, under the home's lock.

    Args:
        request: What to join.
        view: Shows what happens.
        stop: Ends a wait.
        waits: Wait for a run that does not answer, as an unattended node does.
        uploads: It needs a token of the Hub.
        answers: To what the volunteer asks from another shell; None: there is no control socket.
        page: Served where the settings say so.
        introduce: Called before the run is told of this volunteer.

    Raises:
        PageError: The page cannot be served where the settings say.
        IdentityError: Another node uses this home.
        PlainHttpError: It uploads, and its token would be sent over http to another machine.
        NoPeersError: No peer answered, and there is no unfinished work to continue without the DHT.
        StoppedError: While it waited.
        ParisError: RUN cannot be resolved, or a setting is invalid.
    """
    home = Home(request.home)
    with home_lock(home.path), _controlled(home, answers), contextlib.ExitStack() as opened:
        log_to_file(home.log)
        _logger.info("paris-node %s, RUN %s", SOFTWARE_VERSION, request.run)
        config = load_config(home.path, os.environ, request.flags)
        identity = Identity.load_or_create(home.identity)
        token = hub_token(home.path, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
        if page is not None:
            opened.enter_context(page.served(home, config))
        search = Search(request.run, request.run_id, token, home, config, view)
        tries = config.max_tries if waits and not is_first_at_a_terminal(home) else 1
        run, swarm = wait_for_answer(search.connect, view=view, pause=stop.pause, max_tries=tries)
        try:
            machine = Machine(home, config, detect(config, home.path))
            if answers is not None:
                answers.wishes.heed(_watch(machine, view).why_paused)
            invite = find_invite(home.invite(run.run_id), request.invite, run)
            if introduce is not None:
                _introduce(introduce, run, swarm, machine)
            with _session(identity, machine, run, swarm, view, stop, invite) as session:
                hub = _account(session, identity, machine, view, joins=waits, uploads=uploads)
                data = _data_sources(session, identity, machine, hub, stop)
                _show_joined(session, machine, view)
                yield Agent(session, data, machine, view, stop, answers.wishes if answers else None)
        finally:
            swarm.close()


def _introduce(introduce: Introduce, run: Envelope[RunSpec], swarm: Swarm, machine: Machine) -> None:
    """Let the volunteer be told; the Hub is asked for pictures without a token."""

    def tasks() -> list[Task]:
        return [cast(Task, envelope.payload) for envelope in swarm.read("task")]

    introduce(run, tasks, machine, Hub(machine.config.hub_endpoint or run.payload.hub_endpoint, None))


def _controlled(home: Home, answers: Answers | None) -> contextlib.AbstractContextManager[None]:
    return control_socket(home.path, answers) if answers else contextlib.nullcontext()


def _watch(machine: Machine, view: View) -> Watch:
    """The watch over the owner's settings; says which of them nothing on this machine measures."""
    hardware = machine.hardware
    watch = Watch(machine.config, Sensors(machine.config, hardware.device, hardware.gpu_uuid))
    watch.why_paused()
    for name in unmeasured(machine.config, watch.seen) if watch.seen else []:
        view.event(EventKind.NOTE, text=f"{name} is set, but nothing on this machine measures what it is about.")
    return watch


@contextlib.contextmanager
def _session(
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
    announcer = Announcer(Ways([DhtWay(swarm)]), sealer, run.payload.heartbeat_every_s, show_jump)
    announcer.start()
    try:
        yield RunSession(run, name, sealer, swarm, announcer, work, invite)
    finally:
        announcer.stop()


def _account(
    session: RunSession, identity: Identity, machine: Machine, view: View, *, joins: bool, uploads: bool
) -> Hub:
    """The run's Hub, with the token to act there; who joins at a terminal is asked for one that the Hub knows."""
    home, config = machine.home.path, machine.config
    endpoint = config.hub_endpoint or session.spec.hub_endpoint
    try:
        token = account_token(home, config, identity, endpoint)
    except PlainHttpError:
        if uploads:
            raise
        token = None
    if joins and is_at_terminal():
        with view.held():
            token = ask_if_refused(home, endpoint, token)
    return Hub(endpoint, token)


def _data_sources(session: RunSession, identity: Identity, machine: Machine, hub: Hub, stop: StopSignal) -> DataSources:
    config = machine.config
    if config.hub_upload_bytes_per_s is not None:
        uploads = Bandwidth(config.hub_upload_bytes_per_s)
        hub.passed = lambda num_bytes: stop.pause(uploads.wait_s(num_bytes))
    cache = Cache(machine.home.cache, config.cache_limit_bytes)
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


def _show_joined(session: RunSession, machine: Machine, view: View) -> None:
    view.event(
        EventKind.JOINED,
        run_id=session.run_id,
        name=session.name,
        hardware=machine.hardware.label,
        device=machine.hardware.device,
        identity=session.public_key,
        credit_steps=credits_of(session.run_id, machine.home.units(session.run_id)).steps,
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
