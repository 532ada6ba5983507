"""Views of a node's events: plain lines in a log, or one JSON object an event for programs.

{"event": "training", "at": 1760000000.1, "since_join_s": 41.2, "task_id": "expert-3", "step": 120, ...}
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Protocol

from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.node.view.events import PROGRESS, EventKind, sentence
from paris.node.view.live import LiveView
from paris.protocol.clock import Clock
from paris.protocol.logs import PRINTED
from paris.protocol.secrets import redact

_logger = logging.getLogger(__name__)
_LINE_EVERY_S = 10.0
_PROBLEMS = (EventKind.RESTARTING, EventKind.RETRYING, EventKind.LEASE_LOST, EventKind.ERROR)
"""What `--quiet` still shows."""
_LEVELS = {EventKind.ERROR: logging.ERROR, **dict.fromkeys(PROGRESS, logging.DEBUG)}
"""In the log file; the others are information."""


class View(Protocol):
    """Takes the node's events."""

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Show one event."""

    def held(self) -> AbstractContextManager[None]:
        """Nothing is drawn meanwhile, so that the volunteer can be asked something."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_view(*, as_json: bool, is_quiet: bool = False, logs_json: bool = False) -> View:
    """Choose a view; the log file gets its events too.

    Args:
        as_json: JSON on stdout, from `--json`.
        is_quiet: Problems alone, as lines on stderr.
        logs_json: JSON on stderr, from `--log-format json`.
    """
    if as_json:
        return _LoggedView(JsonView(sys.stdout))
    if logs_json:
        view: View = JsonView(sys.stderr)
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not is_quiet:
        view = LiveView()
    else:
        view = PlainView(sys.stderr)
    return _LoggedView(view, only=_PROBLEMS if is_quiet else tuple(EventKind))


class _LoggedView:
    """Logs every event, and shows some of them.

    Args:
        view: Shows them.
        only: The events to show.
    """

    def __init__(self, view: View, only: Collection[EventKind] = tuple(EventKind)) -> None:
        self._view, self._only = view, only

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Log and show the event, without secrets."""
        fields = {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
        _logger.log(_LEVELS.get(kind, logging.INFO), "%s", sentence(kind, fields), extra=PRINTED)
        if kind in self._only:
            self._view.event(kind, **fields)

    def held(self) -> AbstractContextManager[None]:
        """As the view that shows."""
        return self._view.held()

    def close(self) -> None:
        """Close the view."""
        self._view.close()


class JsonView:
    """One JSON object an event, each a line.

    Args:
        out: Where to.
        clock: UTC seconds, shown.
        steady: Seconds that only grow, for the time since joining.
    """

    def __init__(self, out: IO[str], clock: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._out, self._clock, self._steady = out, clock, steady
        self._joined_at = steady()

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Write the event."""
        since_join_s = round(self._steady() - self._joined_at, 3)
        line = {"event": kind.value, "at": round(self._clock(), 3), "since_join_s": since_join_s, **fields}
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()

    def held(self) -> AbstractContextManager[None]:
        """It draws nothing by itself."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to clean up."""


class PlainView:
    """One sentence an event, progress at most every ten seconds.

    Args:
        out: Where to.
        clock: UTC seconds, shown.
        steady: Seconds that only grow, for the ten seconds.
    """

    def __init__(self, out: IO[str], clock: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._out, self._clock, self._steady = out, clock, steady
        self._last_line_at: dict[str, float] = {}
        """Of progress, of each node."""

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Write the event's sentence."""
        now = self._steady()
        if kind in PROGRESS:
            node = fields.get("node", "")
            if now - self._last_line_at.get(node, -_LINE_EVERY_S) < _LINE_EVERY_S:
                return
            self._last_line_at[node] = now
        stamp = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._out.write(f"{stamp} {sentence(kind, fields)}\n")
        self._out.flush()

    def held(self) -> AbstractContextManager[None]:
        """It draws nothing by itself."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to clean up."""


class NotingView:
    """A view whose events are noted elsewhere too.

    Args:
        view: Shows the events.
        board: Takes them too.
        course: Takes them too.
    """

    def __init__(self, view: View, board: Board, course: Course) -> None:
        self._view, self._board, self._course = view, board, course

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Note and show the event."""
        self._board.note(kind, fields)
        self._course.note(kind, fields)
        self._view.event(kind, **fields)

    def held(self) -> AbstractContextManager[None]:
        """As the view that shows."""
        return self._view.held()

    def close(self) -> None:
        """Close the view."""
        self._view.close()
