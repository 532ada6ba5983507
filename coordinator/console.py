"""What commands print: data on stdout, messages on stderr, errors as one line with a next step."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paris.experts.files import DiskFullError
from paris.experts.installed import missing_module
from paris.protocol.errors import NO_ANSWER, SYSTEM, UNEXPECTED, heading, reason_of
from paris.protocol.logs import PRINTED, LogFormat, start_logging
from paris.protocol.printable import printable
from paris.protocol.secrets import redact
from paris.protocol.streams import protect_streams

if TYPE_CHECKING:
    import typer


logger = logging.getLogger(__name__)
_FAILED = 1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_INTERRUPTED = 130
_STOPPED = "Stopped. Run the same command again to continue."


@dataclass
class _Terminal:
    """How this process's stderr is written."""

    is_quiet: bool = False
    is_json: bool = False
    prints_json: bool = False
    """Whether stdout is for a program."""


_TERMINAL = _Terminal()


def set_up_terminal(*, quiet: bool, log_format: LogFormat) -> None:
    """Set what `say` and `say_problem` write in this process.

    Args:
        quiet: Leave out all but problems.
        log_format: "json" writes each message as one JSON object a line.
    """
    _TERMINAL.is_quiet, _TERMINAL.is_json = quiet, log_format == "json"


def print_for_program(is_wanted: bool) -> bool:
    """Set whether an error that ends this process is a JSON object on stdout, too; returns what it is given."""
    _TERMINAL.prints_json = is_wanted
    return is_wanted


def shows_progress() -> bool:
    """Whether progress bars may be drawn on stderr."""
    return not (_TERMINAL.is_quiet or _TERMINAL.is_json)


def say(text: str) -> None:
    """Write a message for people to stderr, unless `--quiet`, and to the log file."""
    logger.info("%s", text, extra=PRINTED)
    if not _TERMINAL.is_quiet:
        _write(text, "info")


def say_problem(text: str, **fields: str | int) -> None:
    """Write a problem to stderr, also with `--quiet`, and to the log file.

    Args:
        text: For people.
        fields: For programs, with `--log-format json`.
    """
    logger.error("%s", text, extra=PRINTED)
    _write(text, "error", **fields)


def _write(text: str, level: str, **fields: str | int) -> None:
    text = redact(text if _TERMINAL.is_json else printable(text))
    if _TERMINAL.is_json:
        at = round(time.time(), 3)
        text = json.dumps({"at": at, "level": level, "logger": __name__, "message": text, **fields})
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a value as one line on stdout, for programs."""
    print(redact(json.dumps(value)), flush=True)


@contextmanager
def progress_bar(title: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields a function that sets how much is done.

    Args:
        title: Its label.
        total: How much there is to do.
        shown: False where a program reads the output.
    """
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not (shown and shows_progress())) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def fail_clearly(app: typer.Typer, arguments: list[str]) -> None:
    """Run a command line; an error ends it with one line, a next step and an exit code, not with a traceback.

    Each `ParisError` has `what`, `next_step`, `exit_code` and `error_code`. PARIS_DEBUG=1 shows tracebacks.
    """
    _run_clearly(lambda: app(arguments))


def fail_worker(work: Callable[[], object]) -> None:
    """Run a child process's work; it ends with its parent, and with an error as a command does.

    Its stderr is a log file of its own, so everything is logged there, tracebacks included.
    """
    from paris.protocol.lifeline import exit_with_parent

    protect_streams()
    exit_with_parent()
    start_logging(verbosity=2)
    _run_clearly(work)


def _run_clearly(work: Callable[[], object]) -> None:
    try:
        work()
    except KeyboardInterrupt:
        say(_STOPPED)
        sys.exit(_INTERRUPTED)
    except SystemExit as end:  # typer's, also after Ctrl-C
        if end.code == _INTERRUPTED:
            say(_STOPPED)
        raise
    except Exception as error:
        if os.environ.get("PARIS_DEBUG") == "1":
            raise
        logger.debug("Ended by an error.", exc_info=True)
        what, next_step, exit_code, error_code = _describe(error)
        text = f"{heading(error_code)} {what}" + (f"\n  {next_step}" if next_step else "")
        say_problem(text, exit_code=exit_code, error_code=error_code)
        if _TERMINAL.prints_json:
            _print_error(type(error).__name__, what, next_step, exit_code, error_code)
        sys.exit(exit_code)


def _print_error(kind: str, what: str, next_step: str, exit_code: int, error_code: str) -> None:
    """The fields are those that `paris-node --json` gives an error."""
    told = {"type": kind, "what": what, "next_step": next_step, "exit_code": exit_code, "error_code": error_code}
    print_json({"event": "error", "at": round(time.time(), 3), **told})


def _describe(error: Exception) -> tuple[str, str, int, str]:
    """Message, next step, exit code and error code."""
    if isinstance(error, ImportError):
        error = missing_module(error) or error
    if hasattr(error, "exit_code") and hasattr(error, "next_step"):
        error_code = str(getattr(error, "error_code", UNEXPECTED))
        return str(getattr(error, "what", error)), str(error.next_step), int(error.exit_code), error_code
    if isinstance(error, TimeoutError):
        return "There was no answer in time.", "The network or this machine is busy: try again.", _FAILED, NO_ANSWER
    if isinstance(error, OSError):
        what = f"{error.strerror or reason_of(error)}: {error.filename or ''}".strip(": ")
        if error.errno in _FULL:
            return what, "Free some space, then start the same command again.", _FAILED, DiskFullError.error_code
        return what, "", _FAILED, SYSTEM
    what = f"{type(error).__name__}: {reason_of(error)}"
    return what, "This is a defect: set PARIS_DEBUG=1 for the details and report it.", _FAILED, UNEXPECTED
