"""Shared by the commands of `paris-coord`: arguments, printing events, stopping on a signal."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paris.coordinator.console import print_for_program, print_json, say, say_problem
from paris.coordinator.errors import ConfigError
from paris.coordinator.state.events import Event, EventKind
from paris.protocol.locks import NO_LOCK_HELP, go_without_locks
from paris.protocol.logs import PRINTED, log_to_file
from paris.protocol.signals import stop_signals

if TYPE_CHECKING:
    from paris.coordinator.run.directory import RunDir

logger = logging.getLogger(__name__)


def expanded(path: Path | None) -> Path | None:
    """A path with `~` replaced by the user's home folder; a shell leaves it in `--out=~/x`.

    Raises:
        ConfigError: The system knows no such folder.
    """
    try:
        return None if path is None else path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: the system knows no home folder of that user.", "Give the path without ~."
        ) from error


def quoted(path: Path) -> str:
    """A path as a word of a shell's command line."""
    return shlex.quote(str(path))


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.", callback=expanded)]
NoLockOption = Annotated[
    bool, typer.Option("--no-lock", help=NO_LOCK_HELP, callback=go_without_locks, expose_value=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.", callback=print_for_program)]


def open_run(path: Path, *, log_name: str, signer: Path | None = None) -> RunDir:
    """Open a run directory for a command that acts on it, and log to its `logs/LOG_NAME.log`.

    Args:
        path: The run directory.
        log_name: Of the log file.
        signer: The socket of the process that has the run's key; None: the directory has it.

    Raises:
        RunDirError, ConfigError, IdentityError: As `RunDir.open`.
        SignerError: As `open_with_signer`.
    """
    from paris.coordinator.run.directory import RunDir

    if signer is None:
        run = RunDir.open(path)
    else:
        from paris.coordinator.signer.client import open_with_signer

        run = open_with_signer(path, signer)
    log_to_file(run.logs / f"{log_name}.log")
    logger.info("Started on %s as process %d.", run.path, os.getpid())
    return run


def event_printer(as_json: bool) -> Callable[[Event], None]:
    """Prints the service's events: as JSON lines on stdout, or each as a line with its time on stderr."""

    def as_line(event: Event) -> None:
        show = say_problem if event.kind is EventKind.PROBLEM else say
        show(f"{time.strftime('%H:%M:%S')} {event.kind:<10} {event.text}")

    def as_object(event: Event) -> None:
        logger.info("%s: %s", event.kind, event.text, extra=PRINTED)
        print_json({"at": time.time(), "event": event.kind, "text": event.text})

    return as_object if as_json else as_line


def stop_on_signals() -> threading.Event:
    """An event that is set by Ctrl-C, SIGTERM and SIGHUP."""
    stop = threading.Event()
    for number in stop_signals():
        signal.signal(number, lambda *_: stop.set())
    return stop
