"""Joins with as many nodes as the volunteer names devices: one in this process, several in a process each."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from paris.node.control.server import control_socket
from paris.node.devices.fan_out import FanOut
from paris.node.devices.introducing import run_of
from paris.node.devices.order import NodeOrder
from paris.node.devices.portions import machine_of, portions_here
from paris.node.devices.process import DeviceNode, Said
from paris.node.errors import DevicesError, SettingsError, StoppedError
from paris.node.join.joining import Introduce
from paris.node.join.joining import join as join_alone
from paris.node.join.request import Beside, Request
from paris.node.join.stopping import stopping
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.retry import StopSignal
from paris.node.view import EventKind, View
from paris.protocol.hub_layout import RUN_FILE
from paris.protocol.logs import LogFormat, log_to_file
from paris.protocol.printable import printable
from paris.protocol.signing import Identity
from paris.protocol.streams import show_secret
from paris.protocol.version import SOFTWARE_VERSION

_logger = logging.getLogger(__name__)
_POLL_S = 0.5


def join(
    request: Request,
    view: View,
    *,
    max_tasks: int | None,
    task_wait_s: float | None,
    introduce: Introduce | None = None,
    log_format: LogFormat = "text",
) -> None:
    """Join a run and work for it, with a node for each device.

    Args:
        request: What to join.
        view: Shows what happens; of several nodes with the field `node`.
        max_tasks: Each node leaves after so many; None: when the run is complete.
        task_wait_s: A node leaves when no task comes for so long; None: never.
        introduce: Called before the run is told of this volunteer.
        log_format: Of the log files of several nodes.

    Raises:
        DevicesError: Of several nodes some ended with an error; each was shown.
        ParisError: The node ended before the run was complete; or several could not be started.
    """
    if not _names_several(request):
        join_alone(request, view, max_tasks=max_tasks, task_wait_s=task_wait_s, introduce=introduce)
        return
    stop, home, failed = StopSignal(), Home(request.home), []
    with stopping(stop) as received, home_lock(home.path), contextlib.suppress(StoppedError):
        log_to_file(home.log)
        _logger.info("paris-node %s, RUN %s, several devices", SOFTWARE_VERSION, request.run)
        said: queue.Queue[Said] = queue.Queue()
        nodes = [
            DeviceNode(
                name,
                NodeOrder(request=own, max_tasks=max_tasks, task_wait_s=task_wait_s, log_format=log_format),
                said,
            )
            for name, own in _requests(request, view, stop, introduce).items()
        ]
        failed = _work(nodes, said, home, view, stop)
    if signal.SIGINT in received:
        raise StoppedError("Stopped.", "Run the same command again to continue.")
    if failed:
        raise _error_of(failed)


def _names_several(request: Request) -> bool:
    """Whether the settings name several devices; those that are refused are refused, and logged, by the join of one."""
    try:
        return len(request.config().devices) > 1
    except SettingsError:
        return False


def _requests(request: Request, view: View, stop: StopSignal, introduce: Introduce | None) -> dict[str, Request]:
    """What is asked of each node, by its name; the volunteer has been told of the run, and each identity is there."""
    home, config = Home(request.home), request.config()
    identity = Identity.load_or_create(home.identity)
    parts = portions_here(config)
    machines = [machine_of(part, config, home) for part in parts]
    run_id = run_of(request, config, identity, machines, view=view, stop=stop, introduce=introduce)
    _note_left_over(home, run_id, {part.name for part in parts}, view)
    run = str(home.run_folder(run_id) / RUN_FILE) if request.run in home.run_ids() else request.run
    name = config.name or f"volunteer-{identity.public_key[:6]}"
    made = {}
    for part, machine in zip(parts, machines, strict=True):
        Identity.load_or_create(machine.home.identity, partial(identity.derived, f"device {part.name}"))
        caches = tuple(other.home.cache for other in machines if other is not machine)
        beside = Beside(home.path, (home.cache, *caches), os.getpid())
        flags = {**request.flags, **part.settings, "name": name}
        made[part.name] = replace(request, run=run, home=machine.home.path, flags=flags, beside=beside)
    return made


def _note_left_over(home: Home, run_id: str, taken: Collection[str], view: View) -> None:
    """Say where a task waits for a device that is not among those of this join."""
    others = {"": home} | {name: other for name, other in home.of_devices().items() if name not in taken}
    for name, other in others.items():
        if other.unfinished(run_id) is not None:
            where = f"The node of {name}" if name else "A join with one device"
            text = f"{where} has an unfinished task. Join so again to go on, or give it back: paris-node leave RUN"
            view.event(EventKind.NOTE, text=text)


def _work(
    nodes: Sequence[DeviceNode], said: queue.Queue[Said], home: Home, view: View, stop: StopSignal
) -> list[DeviceNode]:
    """Let the nodes work until each has ended; those that failed."""
    with contextlib.ExitStack() as opened:
        for node in nodes:
            opened.callback(node.end)
            node.start()
        opened.enter_context(control_socket(home.path, FanOut(nodes)))
        running, is_told = set(nodes), False
        while running:
            if stop.is_set and not is_told:
                is_told = True
                for node in nodes:
                    node.stop()
            with contextlib.suppress(queue.Empty):
                one = said.get(timeout=_POLL_S)
                if one.event is None and not one.line:
                    running.discard(one.node)
                else:
                    _show(one, view)
    # Who was asked to stop before it could heed a signal is ended by it, and has not failed.
    return [node for node in nodes if node.code and not (is_told and node.code == -signal.SIGTERM)]


def _show(one: Said, view: View) -> None:
    if one.event is None:
        with view.held():  # the address of its page is a secret that the volunteer is to see
            show_secret(f"{one.node.name}: {printable(one.line)}", sys.stderr)
        return
    fields = {name: value for name, value in one.event.items() if name not in ("event", "at", "since_join_s")}
    view.event(EventKind(one.event["event"]), **fields, node=one.node.name)


def _error_of(failed: Sequence[DeviceNode]) -> DevicesError:
    """With the exit code of those that failed, where it is one."""
    how = ", ".join(f"{node.name} ({_end_in_words(node.code)})" for node in failed)
    error = DevicesError(f"Not all devices have done their work: {how}.", "See what their nodes said before.")
    codes = {node.code for node in failed}
    if len(codes) == 1 and (code := codes.pop()) > 0:
        error.exit_code = code
    return error


def _end_in_words(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"ended by signal {-code}"
