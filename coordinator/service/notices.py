"""Notices to the organiser's webhooks: what the event log has gained, problems of the service, and a disk that is low.

A thread of its own reads the log of events, so that a webhook that hangs delays nothing. What each webhook has received
is in <run>/notices.json: after a restart it goes on there, and an event is posted twice at most where the service died
between the post and the note of it.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.coordinator.errors import NoticeError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.webhooks import Line, Notice, Webhook, read_secret
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.store import Store
from paris.experts.files import write_whole
from paris.protocol.clock import Clock
from paris.protocol.errors import reason_of

logger = logging.getLogger(__name__)
EVERY_S = 10.0
"""Between two notices to a webhook; what happens meanwhile is in one."""
_MOST_LINES = 20
_MOST_KEPT = 200
_SAME_PROBLEM_S = 3600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 20.0, 1800.0
_FILE = "notices.json"


class _Delivered(BaseModel):
    """notices.json: the last event of the log that each webhook has received, by its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = 1
    delivered: dict[str, int] = {}


@dataclass
class _Channel:
    """One webhook, and how far it is."""

    hook: Webhook
    delivered: int
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    """Problems and the disk, which are not read from the log."""
    notice: tuple[Notice, int] | None = None
    """What was not taken yet, with the newest event of the log in it: it is posted again as it is."""
    failures: int = 0
    due_at: float = 0.0


class Notifier:
    """Posts notices of a run.

    Args:
        run: The run directory.
        log: Receives a line when a webhook fails for the first time, and when it answers again.
        clock: Seconds that only grow.
        wall: UTC seconds.
        free_bytes: Free space of the run directory's disk.
    """

    def __init__(
        self,
        run: RunDir,
        log: Callable[[Event], None],
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._run, self._log, self._clock, self._wall = run, log, clock, wall
        self._free_bytes = free_bytes or (lambda: shutil.disk_usage(run.path).free)
        self._low = False
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        """Until when a problem is not told again, by its text."""
        self._store = Store(run.state)
        secret, known = read_secret(run.path), self._read().delivered
        newest = self._store.newest_event_id()
        self._channels = [
            _Channel(Webhook(table, secret), min(newest, known.get(table.name, newest)))
            for table in run.config.notify.webhooks
        ]
        self._write()

    def note(self, event: Event) -> None:
        """Take in a problem, since the log of events does not hold those of the service; other kinds are read from it.

        The same problem is told once an hour: a step that fails is repeated every few seconds.
        """
        now = self._clock()
        if event.kind is not EventKind.PROBLEM or self._told.get(event.text, now) > now:
            return
        self._told = {text: until for text, until in self._told.items() if until > now}
        self._told[event.text] = now + _SAME_PROBLEM_S
        self._keep(Line("problem", event.text, self._wall()))

    def run(self, stop: threading.Event) -> None:
        """Post what there is every ten seconds, until `stop` is set; then once more."""
        while not stop.wait(EVERY_S):
            self.step()
        self.step()
        self._store.close()

    def step(self) -> None:
        """Post what each webhook that is due lacks."""
        self._look_at_disk()
        for channel in self._channels:
            if channel.due_at <= self._clock():
                try:
                    self._deliver(channel)
                except Exception:
                    # A notice is no reason to stop; the step is repeated.
                    logger.warning("%s gets no notice now.", channel.hook.name, exc_info=True)

    def _deliver(self, channel: _Channel) -> None:
        notice, newest = channel.notice or self._next(channel)
        if notice is not None:
            channel.notice = notice, newest
            try:
                channel.hook.post(notice, self._wall())
            except NoticeError as error:
                self._failed(channel, error)
                return
            self._answered(channel)
        channel.notice = None
        if newest != channel.delivered:
            channel.delivered = newest
            self._write()

    def _next(self, channel: _Channel) -> tuple[Notice | None, int]:
        """A notice of what came since the last one, and the newest event that was looked at."""
        logged = self._store.events(channel.delivered)
        newest = logged[-1].id if logged else channel.delivered
        kinds = channel.hook.events - {EventKind.PROBLEM}
        lines = [Line(event.kind, event.text, event.at) for event in logged if event.kind in kinds]
        with self._lock:
            lines += channel.lines
            channel.lines.clear()
        if not lines:
            return None, newest
        lines.sort(key=lambda line: line.at)
        left_out = max(0, len(lines) - _MOST_LINES)
        name = f"{self._run.run_id}.{newest}.{int(1000 * lines[-1].at)}"
        return Notice(name, self._run.run_id, lines[left_out:], left_out), newest

    def _failed(self, channel: _Channel, error: NoticeError) -> None:
        channel.failures += 1
        wait_s = min(_FIRST_WAIT_S * 2 ** (channel.failures - 1), _LONGEST_WAIT_S)
        channel.due_at = self._clock() + wait_s
        if channel.failures == 1:
            self._log(Event(EventKind.PROBLEM, str(error)))

    def _answered(self, channel: _Channel) -> None:
        if channel.failures:
            self._log(Event(EventKind.SERVING, f"Webhook {channel.hook.name} answers again."))
        channel.failures, channel.due_at = 0, 0.0

    def _look_at_disk(self) -> None:
        """Tell once that the disk is low, and again after it was not."""
        bound = self._run.config.notify.disk_low_bytes
        free = self._free_bytes()
        if not self._low and free < bound:
            self._low = True
            text = f"{free / 1e9:.1f} GB are free at {self._run.path}, less than {bound / 1e9:.1f} GB."
            self._keep(Line("disk-low", f"{text} `paris-coord gc` deletes what the run no longer needs.", self._wall()))
        elif self._low and free > 1.1 * bound:
            self._low = False

    def _keep(self, line: Line) -> None:
        for channel in self._channels:
            if line.kind in channel.hook.events:
                with self._lock:
                    channel.lines.append(line)

    def _read(self) -> _Delivered:
        try:
            return _Delivered.model_validate_json((self._run.path / _FILE).read_bytes())
        except FileNotFoundError:
            return _Delivered()
        except (OSError, ValidationError) as error:
            logger.warning("%s cannot be read: notices begin with what happens now. %s", _FILE, reason_of(error))
            return _Delivered()

    def _write(self) -> None:
        delivered = {channel.hook.name: channel.delivered for channel in self._channels}
        write_whole(self._run.path / _FILE, _Delivered(delivered=delivered).model_dump_json().encode())


def try_webhooks(run: RunDir, wall: Clock = time.time) -> Sequence[tuple[str, NoticeError | None]]:
    """Post a notice to each webhook of a run, to see whether it arrives.

    Returns:
        Name of each webhook, and why it did not take the notice.
    """
    secret, now = read_secret(run.path), wall()
    found: list[tuple[str, NoticeError | None]] = []
    for table in run.config.notify.webhooks:
        hook = Webhook(table, secret)
        lines = [Line("test", f"A test of the notices of {run.run_id}.", now)]
        try:
            hook.post(Notice(f"{run.run_id}.test.{int(1000 * now)}", run.run_id, lines), now)
            found.append((hook.name, None))
        except NoticeError as error:
            found.append((hook.name, error))
    return found
