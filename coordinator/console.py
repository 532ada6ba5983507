"""What the commands say: data on stdout, talk on stderr, errors as one clear line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer


_FAILED = 1
_INTERRUPTED = 130


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print data for programs."""
    print(json.dumps(value), flush=True)


@contextmanager
def progress_bar(title: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; gives what sets how much is done.

    Args:
        title: What stands before it.
        total: How much there is to do.
        shown: False where a program reads the output.
    """
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not shown) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def fail_clearly(app: typer.Typer, arguments: list[str]) -> None:
    """Run a command line; what a person can act on is one line and an exit code, never a traceback.

    Every error of ours carries `what`, `next_step` and `exit_code`. PARIS_DEBUG=1 shows tracebacks.
    """
    _run_clearly(lambda: app(arguments))


def fail_worker(work: Callable[[], object]) -> None:
    """Run a child process's work: ends with its parent, and says its errors as the commands do."""
    from paris.protocol.lifeline import end_with_parent_if_asked

    end_with_parent_if_asked()
    _run_clearly(work)


def _run_clearly(work: Callable[[], object]) -> None:
    try:
        work()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if os.environ.get("PARIS_DEBUG") == "1":
            raise
        what, next_step, code = _describe(error)
        say(f"Error: {what}" + (f"\n  {next_step}" if next_step else ""))
        sys.exit(code)


def _describe(error: Exception) -> tuple[str, str, int]:
    if hasattr(error, "exit_code") and hasattr(error, "next_step"):
        return str(getattr(error, "what", error)), str(error.next_step), int(error.exit_code)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or ''}".strip(": "), "", _FAILED
    what = f"{type(error).__name__}: {error}"
    return what, "This is a defect: set PARIS_DEBUG=1 for the details and report it.", _FAILED
