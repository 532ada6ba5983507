"""From the command line to a running agent: identity, RUN, DHT, machine, Hub; all of it is stopped at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import cast

from paris.node.control.server import control_socket
from paris.node.control.wishes import Wishes
from paris.node.errors import StoppedError
from paris.node.hub.client import Hub
from paris.node.hub.tokens import hub_token
from paris.node.join.answers import Answers
from paris.node.join.assembling import add_hub_way, announced_session, data_sources, hub_account, watch_over
from paris.node.join.own_page import OwnPage
from paris.node.join.request import Request
from paris.node.join.search import Search, is_first_at_a_terminal, wait_for_answer
from paris.node.join.stopping import stopping
from paris.node.machine.credits import credits_of
from paris.node.machine.hardware import detect
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.machine.machine import Machine
from paris.node.retry import StopSignal
from paris.node.swarm.connection import Swarm
from paris.node.swarm.invite import find_invite
from paris.node.swarm.session import RunSession
from paris.node.view import EventKind, View
from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.node.view.views import NotingView
from paris.node.work.agent import Agent
from paris.protocol.envelope import Envelope
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.logs import log_to_file
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.signing import Identity
from paris.protocol.version import SOFTWARE_VERSION

_logger = logging.getLogger(__name__)

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
        NoPeersError: No peer answered, no mailboxes are read on the Hub, and there is no unfinished work to continue.
        StoppedError: While it waited.
        ParisError: RUN cannot be resolved, or a setting is invalid.
    """
    home = Home(request.home)
    with home_lock(home.path), _controlled(home, answers), contextlib.ExitStack() as opened:
        log_to_file(home.log)
        _logger.info("paris-node %s, RUN %s", SOFTWARE_VERSION, request.run)
        config = request.config()
        identity = Identity.load_or_create(home.identity)
        token = hub_token(request.settings_home, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
        if page is not None:
            opened.enter_context(page.served(home, config))
        search = Search(request.run, request.run_id, token, home, config, view)
        tries = config.max_tries if waits and not is_first_at_a_terminal(home) else 1
        run, swarm = wait_for_answer(search.connect, view=view, pause=stop.pause, max_tries=tries)
        try:
            machine = Machine(home, config, detect(config, home.path))
            if answers is not None:
                answers.wishes.heed(watch_over(machine, view, request).why_paused)
            invite = find_invite(home.invite(run.run_id), request.invite, run)
            if introduce is not None:
                introduce_by(introduce, run, swarm, machine)
            with announced_session(identity, machine, run, swarm, view, stop, invite) as session:
                asks = view if waits else None
                hub = hub_account(session, identity, machine, request.settings_home, asks=asks, uploads=uploads)
                add_hub_way(session, hub)
                data = data_sources(session, identity, machine, hub, stop, request)
                _show_joined(session, machine, view)
                yield Agent(session, data, machine, view, stop, answers.wishes if answers else None)
        finally:
            swarm.close()


def introduce_by(introduce: Introduce, run: Envelope[RunSpec], swarm: Swarm, machine: Machine) -> None:
    """Let the volunteer be told; the Hub is asked for pictures without a token."""

    def tasks() -> list[Task]:
        return [cast(Task, envelope.payload) for envelope in swarm.read("task")]

    introduce(run, tasks, machine, Hub(machine.config.hub_endpoint or run.payload.hub_endpoint, None))


def _controlled(home: Home, answers: Answers | None) -> contextlib.AbstractContextManager[None]:
    return control_socket(home.path, answers) if answers else contextlib.nullcontext()


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
