"""The way through the model repo on the run's Hub: the last one, for a node that reaches no peer for minutes.

What it sends is a file in a pull request of its own, its mailbox; what it reads are files that the coordinator writes,
about once a minute. Both are slow and cost requests, so each is done seldom; a commit holds all that waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paris.node.errors import HubRefusedError, TransientHubError
from paris.node.hub.mailbox import Mailbox
from paris.node.retry import Backoff
from paris.node.swarm.ways.way import Way
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import SWARM_RUN_FILE, swarm_file
from paris.protocol.keys import BUCKETED, subkey_of
from paris.protocol.outcome import Outcome
from paris.protocol.record_file import MAX_MAILBOX_RECORDS, MAX_OWN_RECORDS, MAX_RUN_RECORDS, RecordFile
from paris.protocol.run_records import RunSpec

_logger = logging.getLogger(__name__)
PATIENCE_S = 180.0
"""How long no other way answers before this one is taken."""
_SHORTEST_S = 1.0
_MOST_MISSING = 10
"""Reads in a row without the coordinator's file, which one that starts again writes anew, until it counts as gone."""
_BURST = 3
"""Commits that need not wait for each other: a want, a first heartbeat and a submission should not."""


@dataclass
class _Turn:
    """When the next request of a sort may be made, by a clock that only grows."""

    next_at: float = 0.0
    failures: int = 0


class HubWay:
    """Records by the model repo. Safe to use from several threads.

    Args:
        mailbox: Reads and writes the files.
        run: The run's description, as sealed.
        others: The other ways.
        patience_s: As `PATIENCE_S`.
        clock: Seconds that only grow.
        wall_clock: UTC seconds.
    """

    name = "Hub"
    look_s = 30.0
    place = None

    def __init__(
        self,
        mailbox: Mailbox,
        run: Envelope[RunSpec],
        others: Sequence[Way],
        *,
        patience_s: float = PATIENCE_S,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self._mailbox, self._run, self._others = mailbox, run, tuple(others)
        self._patience_s, self._clock, self._wall_clock = patience_s, clock, wall_clock
        self._alone_since: float | None = None
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._read_turn, self._write_turn = _Turn(), _Turn()
        self._every_s: float | None = None
        """The coordinator's, once it is known that mailboxes are read."""
        self._missing = 0
        """Reads in a row without the coordinator's file."""
        self._found: list[Envelope[Any]] = []
        self._waiting: dict[tuple[str, str], Envelope[Any]] = {}
        """This node's records, for the next commit."""
        self._backoff = Backoff(first_s=10.0, cap_s=600.0)
        self._is_sent = False

    @property
    def is_up(self) -> bool:
        """Whether the coordinator's files could be read."""
        return self._is_wanted() and self._every_s is not None and self._read_turn.failures == 0

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """See `Way.publish`; STORED once it is in the mailbox, or comes with the next commit after one that worked."""
        if envelope.kind not in BUCKETED or not self._is_wanted() or self._read_files() is None:
            return Outcome.UNANSWERED
        with self._writing:
            place, turn = (envelope.kind, subkey_of(envelope.payload, envelope.signer)), self._write_turn
            # What is new, such as a submission, waits for no turn unless the Hub refuses.
            is_due = self._clock() >= turn.next_at or (place not in self._waiting and turn.failures == 0)
            self._waiting[place] = envelope
            if is_due:
                self._commit()
            return Outcome.STORED if self._is_sent else Outcome.UNANSWERED

    def read(self, kind: str) -> list[Envelope[Any]] | None:
        """See `Way.read`."""
        found = self._read_files() if self._is_wanted() else None
        if found is None:
            return None
        return [envelope for envelope in found if envelope.kind == kind and envelope.expires_at > self._wall_clock()]

    def _is_wanted(self) -> bool:
        """Whether no other way has answered for long enough."""
        if any(way.is_up for way in self._others):
            self._alone_since = None
            return False
        now = self._clock()
        self._alone_since = now if self._alone_since is None else self._alone_since
        return now - self._alone_since >= self._patience_s

    def _commit(self) -> None:
        """Write what waits; while the Hub refuses or does not answer, ever less often."""
        now, turn = self._wall_clock(), self._write_turn
        alive = [envelope for envelope in self._waiting.values() if envelope.expires_at > now]
        kept = sorted(alive, key=lambda envelope: envelope.sequence)[-MAX_MAILBOX_RECORDS:]
        self._waiting = {(e.kind, subkey_of(e.payload, e.signer)): e for e in kept}
        try:
            self._mailbox.write([envelope.data for envelope in kept])
        except ParisError as error:
            self._is_sent = False
            self._put_off(turn, error)
            return
        self._is_sent, turn.failures = True, 0
        # By turns of a bucket: a few commits at once, then one in `every_s`.
        every_s = max(self._every_s or 0.0, _SHORTEST_S)
        turn.next_at = max(turn.next_at, self._clock() - (_BURST - 1) * every_s) + every_s

    def _read_files(self) -> list[Envelope[Any]] | None:
        """The coordinator's records; None if it reads no mailboxes, or the Hub has not answered yet."""
        if self._clock() >= self._read_turn.next_at and self._reading.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._reading.release()
        return None if self._every_s is None else self._found

    def _refresh(self) -> None:
        turn = self._read_turn
        try:
            whole = self._mailbox.read(SWARM_RUN_FILE, MAX_RUN_RECORDS)
            own = self._mailbox.read(swarm_file(self._mailbox.public_key), MAX_OWN_RECORDS) if whole else None
        except ParisError as error:
            self._put_off(turn, error)
            return
        self._missing = 0 if whole is not None else self._missing + 1
        if whole is not None or self._missing > _MOST_MISSING:
            self._every_s = None if whole is None else whole.every_s
        self._found = [envelope for file in (whole, own) if file is not None for envelope in self._opened(file)]
        turn.failures = 0
        turn.next_at = self._clock() + max((self._every_s or 2 * PATIENCE_S) / 2, _SHORTEST_S)

    def _opened(self, file: RecordFile) -> list[Envelope[Any]]:
        """Those records that the run's key has signed, and that have not expired."""
        found: list[Envelope[Any]] = []
        for record in file.records:
            try:
                envelope = open_envelope(
                    record, run_id=self._run.run_id, coordinator=self._run.signer, now=self._wall_clock()
                )
            except ParisError as error:
                _logger.debug("A record on the Hub is left out: %s", error.what)
            else:
                found.append(envelope)
        return found

    def _put_off(self, turn: _Turn, error: ParisError) -> None:
        turn.failures += 1
        asked_s = error.retry_after_s if isinstance(error, TransientHubError) else None
        turn.next_at = self._clock() + self._backoff.wait_s(turn.failures, asked_s)
        log = _logger.warning if isinstance(error, HubRefusedError) and turn.failures == 1 else _logger.info
        log("Records by the Hub wait: %s", error)


def mailboxes_are_read(mailbox: Mailbox) -> bool:
    """Whether a coordinator reads mailboxes of this run: asked before a node joins that reaches no peer."""
    try:
        found = mailbox.read(SWARM_RUN_FILE, MAX_RUN_RECORDS)
    except ParisError as error:
        _logger.info("Whether mailboxes are read is unknown: %s", error.what)
        return False
    return found is not None and found.every_s is not None
