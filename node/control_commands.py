"""The commands of `paris-node` for the node that runs in a home: pause, resume, finish, leave, status, log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from paris.node.options import (
    HomeOption,
    JsonOption,
    NoLockOption,
    RunIdOption,
    clear_errors,
    home_path,
    make_node_view,
)
from paris.protocol.printable import printable
from paris.protocol.streams import require_stdout


def pause(
    home: HomeOption = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, such as 90m or 2h.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Until the clock shows this, such as 18:00.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Pause the running node: its trainer ends with a snapshot and frees the GPU; the task is kept."""
    with clear_errors(as_json=as_json):
        import time

        from paris.node.errors import SettingsError
        from paris.node.manners.times import duration_s, next_time_of_day

        if for_ is not None and until is not None:
            raise SettingsError("--for and --until both say how long.", "Give one of them.")
        now = time.time()
        until_at = now + duration_s(for_) if for_ is not None else None
        until_at = next_time_of_day(until, now) if until is not None else until_at
        _tell(home, "pause", as_json=as_json, until=until_at)


def resume(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """End a pause of the running node."""
    with clear_errors(as_json=as_json):
        _tell(home, "resume", as_json=as_json)


def finish(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """End the running node with nothing lost: a leg is handed in at its next snapshot, a whole task when it is done."""
    with clear_errors(as_json=as_json):
        _tell(home, "finish", as_json=as_json)


def leave(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="As for join; not needed while the node runs.")
    ] = None,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Give back the unfinished task, so that another volunteer gets it at once; a running node ends."""
    view = make_node_view(context, as_json=as_json)
    with clear_errors(view):
        from paris.node.errors import NotRunningError

        try:
            _tell(home, "leave", as_json=as_json)
        except NotRunningError as error:
            if run is None:
                raise NotRunningError(error.what, "Name the run: paris-node leave RUN") from error
            from paris.node.devices.offline import requests_of
            from paris.node.join.joining import running_agent
            from paris.node.join.request import Request
            from paris.node.retry import StopSignal
            from paris.node.view import EventKind

            for name, request in requests_of(Request(run, home_path(home), run_id, {})).items():
                with running_agent(request, view, StopSignal()) as agent:
                    text = agent.give_back()
                    view.event(EventKind.DONE, text=text, **({"node": name} if name else {}))


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what the node does now, and the runs and tasks that this machine has worked on."""
    with clear_errors(as_json=as_json):
        from paris.node.machine.home import Home

        require_stdout()
        folder = home_path(home)
        homes: list[tuple[str | None, Home]] = [(None, Home(folder)), *Home(folder).of_devices().items()]
        tasks = [
            _row(name, run_id, unit)
            for name, each in homes
            for run_id in each.run_ids()
            for _, unit in each.units(run_id)
        ]
        running = _running(folder)
        if as_json:
            print(json.dumps({"running": running, "tasks": tasks}))
            return
        if running is not None:
            print("\n".join(_in_lines(running)))
        elif not tasks:
            print("No tasks yet. Begin with: paris-node join RUN")
        for task in tasks:
            columns = (str(task[key] or "") for key in ("run_id", "node", "task", "attempt", "state", "outcome"))
            print(printable("  ".join(filter(None, columns))))


def log(
    home: HomeOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="How many of the last lines.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show the last lines of the node's log."""
    with clear_errors(as_json=as_json):
        from collections import deque

        from paris.node.machine.home import Home

        require_stdout()
        path = Home(home_path(home)).log
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            last = deque((line.rstrip("\n") for line in file), maxlen=lines)
        for line in last:
            print(json.dumps({"line": line}) if as_json else printable(line))


def _tell(home: Path | None, command: Any, *, as_json: bool, until: float | None = None) -> None:
    from paris.node.control.client import ask
    from paris.node.control.messages import Request

    reply = ask(home_path(home), Request(command=command, until=until))
    print(json.dumps({"text": reply.text, "status": reply.status}) if as_json else printable(reply.text))


def _running(home: Path) -> dict[str, Any] | None:
    """The running node's status; None if none runs."""
    from paris.node.control.client import ask
    from paris.node.control.messages import Request
    from paris.node.errors import NotRunningError

    try:
        return ask(home, Request(command="status")).status
    except NotRunningError:
        return None


def _in_lines(running: dict[str, Any]) -> list[str]:
    import shutil
    import time

    from paris.node.view.board import NodeStatus
    from paris.node.view.screen import screen

    columns = shutil.get_terminal_size().columns - 1
    nodes = running.get("nodes", [running])
    lines = [printable(f"Running (process {running['pid']}). {running.get('last', '')}".rstrip())]
    for node in nodes:
        state = NodeStatus.model_validate({name: node[name] for name in NodeStatus.model_fields if name in node})
        lines += screen(state, time.time(), columns, has_blocks=False, node=node.get("node", ""))
    return lines


def _row(node: str | None, run_id: str, unit: Any) -> dict[str, Any]:
    outcome = unit.reason
    if unit.verdict is not None:
        outcome = "accepted" if unit.verdict.accepted else f"rejected: {unit.verdict.reason}"
    return {
        "run_id": run_id,
        "node": node,
        "task": unit.task.task_id,
        "attempt": unit.lease.attempt,
        "state": unit.state,
        "outcome": outcome,
    }
