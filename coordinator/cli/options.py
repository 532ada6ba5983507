"""What several commands of `paris-coord` share: arguments, how events are shown, how a signal stops them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.console import print_json, say
from paris.coordinator.state.events import Event

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def event_printer(as_json: bool) -> Callable[[Event], None]:
    """How the service's events are shown: JSON lines on stdout, or a line with the time on stderr."""

    def as_line(event: Event) -> None:
        say(f"{time.strftime('%H:%M:%S')} {event.kind:<10} {event.text}")

    def as_object(event: Event) -> None:
        print_json({"at": time.time(), "event": event.kind, "text": event.text})

    return as_object if as_json else as_line


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
