"""`paris-node`: the volunteer's command. Each command imports what it needs when it runs: --help stays fast."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from paris.protocol.lifeline import exit_with_parent
from paris.protocol.locks import NO_LOCK_HELP, go_without_locks
from paris.protocol.logs import LogFormat
from paris.protocol.printable import printable
from paris.protocol.streams import protect_streams, require_stdout
from paris.protocol.version import version_printer

_logger = logging.getLogger("paris.node.cli")  # __name__ is "__main__" when run as a module

app = typer.Typer(
    name="paris-node",
    help="Give a machine's time to a Paris run: `paris-node join RUN`, and nothing else to learn.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
identity_app = typer.Typer(help="The key that your contributions are signed with.", no_args_is_help=True)
app.add_typer(identity_app, name="identity")

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="run.json (path or URL), org/repo, a run joined before, or a multiaddr.")
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder that keeps everything.", show_default="your user data folder")
]
RunIdOption = Annotated[str | None, typer.Option("--run", help="Run id; needed where RUN is a multiaddr.")]
HubOption = Annotated[str | None, typer.Option("--hub-endpoint", help="Hub to use instead of the run's own.")]
PlainHttpOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-plain-http",
        show_default="no",
        help="Use a Hub on another machine without encryption, on your own network.",
    ),
]
NoLockOption = Annotated[
    bool, typer.Option("--no-lock", help=NO_LOCK_HELP, callback=go_without_locks, expose_value=False)
]
VersionOption = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=version_printer("paris-node"), is_eager=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@dataclass(frozen=True)
class _Terminal:
    """What the options before the command ask for."""

    is_quiet: bool
    log_format: LogFormat


@app.callback()
def paris_node(
    context: typer.Context,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Log more on stderr: -v what is done, -vv everything.",
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show problems alone.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Lines on stderr and in log files: text or json.")
    ] = "text",
    version: VersionOption = False,
) -> None:
    """Set what all commands show."""
    from paris.protocol.logs import start_logging

    start_logging(-1 if quiet else verbose, log_format)
    context.obj = _Terminal(quiet, log_format)


@app.command()
def join(
    context: typer.Context,
    run: RunArgument,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    name: Annotated[str | None, typer.Option(help="Shown beside your contributions.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="auto")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads to train with.")] = None,
    hub_endpoint: HubOption = None,
    max_tasks: Annotated[int | None, typer.Option(min=1, help="Leave after so many tasks.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Leave after one task.")] = False,
    task_wait_s: Annotated[
        float | None, typer.Option(min=0, help="Leave when no task comes for so many seconds.")
    ] = None,
    download_bytes_per_s: Annotated[
        int | None, typer.Option(help="Fetch shards no faster than this.", show_default="no limit")
    ] = None,
    share_shards: Annotated[
        bool | None,
        typer.Option("--share-shards/--no-share-shards", help="Exchange shards with other volunteers of the run."),
    ] = None,
    allow_plain_http: PlainHttpOption = None,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Join a run: wait for tasks, train them, submit them. Run the same command again to continue."""
    view = _make_view(context, as_json=as_json)
    flags = {
        "name": name,
        "device": device,
        "threads": threads,
        "hub_endpoint": hub_endpoint,
        "download_bytes_per_s": download_bytes_per_s,
        "share_shards": share_shards,
        "allow_plain_http": allow_plain_http,
    }
    with _clear_errors(view):
        from paris.node.join.joining import Request
        from paris.node.join.joining import join as join_run

        request = Request(run, _home(home), run_id, flags)
        join_run(request, view, max_tasks=1 if once else max_tasks, task_wait_s=task_wait_s)


@app.command()
def leave(
    context: typer.Context,
    run: RunArgument,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    no_lock: NoLockOption = False,
) -> None:
    """Give back the unfinished task, so that another volunteer gets it at once."""
    view = _make_view(context, as_json=False)
    with _clear_errors(view):
        from paris.node.join.joining import Request, running_agent
        from paris.node.retry import StopSignal
        from paris.node.view import EventKind

        with running_agent(Request(run, _home(home), run_id, {}), view, StopSignal()) as agent:
            view.event(EventKind.DONE, text=agent.give_back())


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the runs and tasks that this machine has worked on."""
    with _clear_errors():
        from paris.node.machine.home import Home

        require_stdout()
        node_home = Home(_home(home))
        rows = [_row(run_id, unit) for run_id in node_home.run_ids() for _, unit in node_home.units(run_id)]
        if as_json:
            print(json.dumps(rows))
        elif not rows:
            print("No tasks yet. Begin with: paris-node join RUN")
        for row in [] if as_json else rows:
            columns = (str(row[key]) for key in ("run_id", "task", "attempt", "state", "outcome"))
            print(printable("  ".join(columns).rstrip()))


@app.command()
def gc(
    home: HomeOption = None,
    cache: Annotated[bool, typer.Option("--cache", help="Also delete downloaded files.")] = False,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Delete what no unfinished task needs: snapshots of ended tasks, partial downloads."""
    with _clear_errors():
        from paris.node.machine.garbage import collect_garbage
        from paris.node.machine.home import Home
        from paris.node.machine.lock import home_lock

        node_home = Home(_home(home))
        with home_lock(node_home.path):
            freed = collect_garbage(node_home, with_cache=cache)
        print(json.dumps({"freed_bytes": freed}) if as_json else f"Freed {freed} bytes in {node_home.path}.")


@app.command()
def check(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="As for join; without it the machine alone is checked.")
    ] = None,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="auto")] = None,
    hub_endpoint: HubOption = None,
    allow_plain_http: PlainHttpOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check hardware, disk, peers, Hub and token: one line each."""
    with _clear_errors():
        from paris.node.join.check import check as look

        require_stdout()
        all_passed = True
        flags = {"device": device, "hub_endpoint": hub_endpoint, "allow_plain_http": allow_plain_http}
        for line in look(run, _home(home), run_id, flags):
            all_passed &= line.passed
            verdict = {"check": line.name, "passed": line.passed, "text": line.text}
            print(
                json.dumps(verdict)
                if as_json
                else f"{'ok  ' if line.passed else 'FAIL'}  {line.name}: {printable(line.text)}",
                flush=True,
            )
        if not all_passed:
            raise typer.Exit(1)


@identity_app.command("show")
def identity_show(home: HomeOption = None) -> None:
    """Print the public key; create the identity if there is none."""
    with _clear_errors():
        from paris.node.machine.home import Home
        from paris.protocol.signing import Identity

        require_stdout()
        print(Identity.load_or_create(Home(_home(home)).identity).public_key)


def main() -> None:
    """Entry point of `paris-node`."""
    protect_streams()
    exit_with_parent()
    app()


def _make_view(context: typer.Context, *, as_json: bool) -> Any:
    from paris.node.view import make_view

    terminal: _Terminal = context.obj
    return make_view(as_json=as_json, is_quiet=terminal.is_quiet, logs_json=terminal.log_format == "json")


def _home(home: Path | None) -> Path:
    from paris.node.machine.config import default_home, expanded

    return default_home() if home is None else expanded(home)


def _row(run_id: str, unit: Any) -> dict[str, Any]:
    outcome = unit.reason
    if unit.verdict is not None:
        outcome = "accepted" if unit.verdict.accepted else f"rejected: {unit.verdict.reason}"
    return {
        "run_id": run_id,
        "task": unit.task.task_id,
        "attempt": unit.lease.attempt,
        "state": unit.state,
        "outcome": outcome,
    }


@contextlib.contextmanager
def _clear_errors(view: Any = None) -> Iterator[None]:
    """Turn any error into one line, a next step and an exit code; PARIS_DEBUG=1 raises it."""
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        if os.environ.get("PARIS_DEBUG") == "1" or isinstance(error, SystemExit):
            raise
        from paris.node.errors import explain
        from paris.node.view import EventKind, sentence

        what, next_step, exit_code = explain(error)
        _logger.debug("%s", what, exc_info=True)
        fields = {"type": type(error).__name__, "what": what, "next_step": next_step, "exit_code": exit_code}
        if view is None:
            print(sentence(EventKind.ERROR, fields), file=sys.stderr)
        else:
            view.event(EventKind.ERROR, **fields)
        raise typer.Exit(exit_code) from None
    finally:
        if view is not None:
            view.close()


if __name__ == "__main__":
    main()
