"""What the volunteer sees: progress at a terminal, plain lines in a log, or one JSON object an event for programs.

{"event": "training", "at": 1760000000.1, "since_join_s": 41.2, "task_id": "expert-3", "step": 120, ...}
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any, Protocol

from paris.node.errors import StoppedError
from paris.protocol.clock import Clock
from paris.protocol.logs import PRINTED
from paris.protocol.printable import printable
from paris.protocol.secrets import redact

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_logger = logging.getLogger(__name__)
_LINE_EVERY_S = 10.0


class EventKind(StrEnum):
    """Every event that a node shows; the value is the word in `--json`."""

    JOINED = "joined"
    WAITING = "waiting"
    LEASED = "leased"
    FETCHING = "fetching"
    FETCHED = "fetched"
    TRAINER_READY = "trainer-ready"
    LEG = "leg"
    TRAINING = "training"
    SNAPSHOT = "snapshot"
    RESTARTING = "restarting"
    UPLOADING = "uploading"
    RETRYING = "retrying"
    SUBMITTED = "submitted"
    AWAITING_VERDICT = "awaiting-verdict"
    VERDICT = "verdict"
    TRAFFIC = "traffic"
    LEASE_LOST = "lease-lost"
    DHT = "dht"
    NOTE = "note"
    DONE = "done"
    ERROR = "error"


_SENTENCES: dict[EventKind, str] = {
    EventKind.JOINED: "Joined run {run_id} as {name} on {hardware}.",
    EventKind.WAITING: "{text}",
    EventKind.LEASED: "Leased {task_id}, attempt {attempt}: {steps} steps on cluster {cluster}.",
    EventKind.FETCHING: "Fetching {num_files} files, {num_bytes} bytes.",
    EventKind.FETCHED: (
        "All data is here and verified ({bytes_received} bytes from the Hub, {bytes_from_peers} from peers)."
    ),
    EventKind.TRAINING: (
        "{task_id}: step {step} of {steps}, loss {loss}, {steps_per_s:.2f} steps/s, {eta_s:.0f} s to go."
    ),
    EventKind.LEG: (
        "{task_id}: steps {start_step} to {end_step} of {steps}; a leg takes about {takes} here; "
        "you can stop at any time."
    ),
    EventKind.TRAINER_READY: "{task_id}: the trainer is ready at step {step} of {steps}.",
    EventKind.SNAPSHOT: "{task_id}: snapshot at step {step}, commitment {commitment}.",
    EventKind.RESTARTING: "The trainer ended (code {code}); it starts again from the last snapshot.",
    EventKind.UPLOADING: "{task_id}: training is done; uploading {num_bytes} bytes.",
    EventKind.RETRYING: "{text} Next try in {wait_s:.0f} s.",
    EventKind.SUBMITTED: "{task_id}: submitted as pull request {pull_request} of {repo}.",
    EventKind.AWAITING_VERDICT: "{task_id}: waiting for the verdict.",
    EventKind.VERDICT: "{text}",
    EventKind.LEASE_LOST: "{task_id}: the lease was taken back: {reason} The files stay until the next task.",
    EventKind.DHT: "{text}",
    EventKind.NOTE: "{text}",
    EventKind.TRAFFIC: "Control plane: {control_plane_bytes} bytes. Trainer: {trainer_bytes} bytes.",
    EventKind.DONE: "{text}",
    EventKind.ERROR: "Error: {what}",
}


_PROBLEMS = (EventKind.RESTARTING, EventKind.RETRYING, EventKind.LEASE_LOST, EventKind.ERROR)
"""What `--quiet` still shows."""
_LEVELS = {EventKind.ERROR: logging.ERROR, EventKind.TRAINING: logging.DEBUG}
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
    elif sys.stderr.isatty() and not is_quiet:
        view = ProgressView()
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
    """One sentence an event, training at most every ten seconds.

    Args:
        out: Where to.
        clock: UTC seconds, shown.
        steady: Seconds that only grow, for the ten seconds.
    """

    def __init__(self, out: IO[str], clock: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._out, self._clock, self._steady = out, clock, steady
        self._last_line_at = -_LINE_EVERY_S

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Write the event's sentence."""
        now = self._steady()
        if kind is EventKind.TRAINING:
            if now - self._last_line_at < _LINE_EVERY_S:
                return
            self._last_line_at = now
        stamp = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._out.write(f"{stamp} {sentence(kind, fields)}\n")
        self._out.flush()

    def held(self) -> AbstractContextManager[None]:
        """It draws nothing by itself."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to clean up."""


class ProgressView:
    """A bar for the training, sentences above it, and a quiet spinner while there is nothing to do."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar: TaskID = self._progress.add_task("joining", total=1, note="")
        self._progress.start()

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Move the bar, or print the event's sentence."""
        if kind is EventKind.TRAINING:
            beat = _ago(fields.get("heartbeat_age_s"))
            note = f"loss {fields['loss']}  {fields['steps_per_s']:.2f} steps/s  last heartbeat {beat}"
            self._progress.update(
                self._bar,
                description=f"training {fields['task_id']}",
                total=fields["steps"],
                completed=fields["step"],
                note=note,
            )
            return
        if kind is not EventKind.SNAPSHOT:
            self._progress.console.print(sentence(kind, fields), highlight=False, markup=False)
        self._progress.update(self._bar, description=kind.value, note="")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the bar away meanwhile."""
        self._progress.stop()
        yield
        self._progress.start()

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def sentence(kind: EventKind, fields: dict[str, Any]) -> str:
    """An event in words; control characters of the run's texts are shown as escapes.

    Args:
        kind: The event.
        fields: Those of `View.event`; the loss is rounded, the commitment shortened.
    """
    shown = dict(fields)
    if isinstance(shown.get("loss"), float):
        shown["loss"] = f"{shown['loss']:.4f}"
    if isinstance(shown.get("commitment"), str):
        shown["commitment"] = shown["commitment"][:12]
    text = _SENTENCES[kind].format(**shown)
    if kind is not EventKind.ERROR:
        return printable(text)
    if fields.get("exit_code") == StoppedError.exit_code:
        text = shown["what"]  # the volunteer wanted it: no error
    return printable(f"{text} {shown['next_step']}".strip())


def duration_in_words(seconds: float) -> str:
    """A time for people, such as "40 minutes"."""
    for unit, unit_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}s"
    return "a minute" if seconds >= 50 else f"{max(1, round(seconds))} s"


def _ago(age_s: float | None) -> str:
    return "not yet accepted" if age_s is None else f"{age_s:.0f} s ago"
