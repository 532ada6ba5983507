"""Options of `paris-node` that several commands share, or that are long; and how a command ends.

It ends with one line and an exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from paris.protocol.locks import NO_LOCK_HELP, go_without_locks
from paris.protocol.logs import LogFormat

_logger = logging.getLogger(__name__)

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
DeviceOption = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; several: cuda:0,cuda:1.", show_default="auto")
]
DownloadOption = Annotated[int | None, typer.Option(help="Fetch shards no faster than this.", show_default="no limit")]
ShareOption = Annotated[
    bool | None,
    typer.Option("--share-shards/--no-share-shards", help="Exchange shards with other volunteers of the run."),
]
TaskWaitOption = Annotated[float | None, typer.Option(min=0, help="Leave when no task comes for so many seconds.")]
NotWhileOption = Annotated[list[str] | None, typer.Option(metavar="PROGRAM", help="Pause while it runs; repeatable.")]
PageOption = Annotated[bool | None, typer.Option("--page", help="Serve the node's own page to your browser.")]
PagePortOption = Annotated[int | None, typer.Option(help="Port of the page; 0: a free one.", show_default="7411")]
PageHostOption = Annotated[
    str | None, typer.Option(help="Address the page listens on.", show_default="this machine alone")
]
NoLockOption = Annotated[
    bool, typer.Option("--no-lock", help=NO_LOCK_HELP, callback=go_without_locks, expose_value=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@dataclass(frozen=True)
class Terminal:
    """What the options before the command ask for."""

    is_quiet: bool
    log_format: LogFormat


def make_node_view(context: typer.Context, *, as_json: bool) -> Any:
    """The view that the options ask for."""
    from paris.node.view import make_view

    terminal: Terminal = context.obj
    return make_view(as_json=as_json, is_quiet=terminal.is_quiet, logs_json=terminal.log_format == "json")


def home_path(home: Path | None) -> Path:
    """The home that --home names, or the usual one.

    Raises:
        SettingsError: It is no folder.
    """
    from paris.node.errors import SettingsError
    from paris.node.machine.config import default_home, expanded

    path = default_home() if home is None else expanded(home)
    if path.exists() and not path.is_dir():
        raise SettingsError(f"The home {path} is no folder.", "Choose another: --home DIR, or PARIS_HOME.")
    return path


@contextlib.contextmanager
def clear_errors(view: Any = None, *, as_json: bool = False) -> Iterator[None]:
    """Turn any error into one line, a next step and an exit code; PARIS_DEBUG=1 raises it.

    Args:
        view: Shows the line.
        as_json: Without a view, the line is that of `join --json`, on stdout; else it goes to stderr.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except BaseException as error:
        if os.environ.get("PARIS_DEBUG") == "1" or isinstance(error, SystemExit):
            raise
        from paris.node.errors import explain, explains_itself
        from paris.node.view import EventKind, JsonView, sentence

        told = explain(error)
        if not explains_itself(error):
            _logger.debug("%s", told.what, exc_info=True)
        fields = {"type": type(error).__name__, **told._asdict()}
        if view is None and as_json:
            JsonView(sys.stdout).event(EventKind.ERROR, **fields)
        elif view is None:
            print(sentence(EventKind.ERROR, fields), file=sys.stderr)
        else:
            view.event(EventKind.ERROR, **fields)
        raise typer.Exit(told.exit_code) from None
    finally:
        if view is not None:
            view.close()
