"""The way through the Hub, for volunteers that reach no peer: mailboxes are read, files are written, once a minute.

In a thread of its own: the loop never waits for the Hub. As long as nobody has a mailbox, nothing is written after the
start but the file that says that mailboxes are read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.mailboxes import HubMailboxes
from paris.coordinator.service.mailboxes import Mailboxes
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.told import Told
from paris.coordinator.service.ways import Shown
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, reason_of
from paris.protocol.hub_layout import SWARM_RUN_FILE, swarm_file
from paris.protocol.keys import dht_key, subkey_of
from paris.protocol.payload import Payload
from paris.protocol.record_file import pack_records
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer
from paris.protocol.summary import Summary
from paris.protocol.validator import RecordJudge

logger = logging.getLogger(__name__)
_LONGEST_WAIT_S = 600.0
_LAST_ROUND_S = 5.0
"""How long a stop waits for the Hub to answer."""
_FOR_ALL = (RunSpec, Summary)
_DELAY_ROUNDS = 4
"""A record may be so many rounds old before it is read here: the volunteer commits as seldom as this way looks."""


class HubWay:
    """Records on the model repo.

    Args:
        hub: The requests.
        judge: Of this way alone: admits what volunteers send.
        publisher: Of this way alone: seals what is written.
        run_id: The run.
        num_buckets: The run's, as published.
        every_s: Seconds between two rounds.
        clock: UTC seconds.
    """

    def __init__(
        self,
        hub: HubMailboxes,
        judge: RecordJudge,
        publisher: Publisher,
        *,
        run_id: str,
        num_buckets: int,
        every_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub, self._judge, self._publisher = hub, judge, publisher
        self._run_id, self._every_s = run_id, every_s
        self._mailboxes = Mailboxes(hub, judge, run_id, num_buckets, clock)
        self._lock = threading.Lock()
        """Guards the next two."""
        self._shown: Shown | None = None
        self._is_all_due = False
        self._sealed: dict[tuple[str, str], Envelope[Any]] = {}
        self._written: dict[str, bytes] = {}
        """The files on the branch."""
        self._has_begun = False
        self.delay_s = _DELAY_ROUNDS * every_s
        """See `Way.delay_s`."""

    def received(self, kinds: Sequence[str]) -> list[Envelope[Payload]]:
        """What is in the mailboxes; records seen before are among it."""
        return self._mailboxes.records(kinds)

    def show(self, shown: Shown) -> None:
        """Let the next round write what follows from a state."""
        with self._lock:
            self._shown = shown

    def show_all_again(self) -> None:
        """Seal every record anew in the next round."""
        with self._lock:
            self._is_all_due = True

    def keep_alive(self) -> None:
        """Nothing dies here: the thread outlives every failed round."""

    def run(self, stop: threading.Event) -> None:
        """Look and write until `stop` is set; while the Hub refuses or does not answer, ever less often."""
        failures = 0
        while not stop.wait(min(self._every_s * 2.0 ** min(failures, 10), max(self._every_s, _LONGEST_WAIT_S))):
            try:
                self.round()
                failures = 0
            except ParisError as error:
                failures += 1
                logger.info("Records on the Hub wait: %s", error.what)
            except Exception as error:  # a bug of ours ends no thread that volunteers depend on
                failures += 1
                logger.warning("Records on the Hub wait: %s", reason_of(error), exc_info=True)

    def round(self) -> None:
        """Read the mailboxes, and write what their volunteers need.

        Raises:
            HubError: The Hub refused or did not answer; the next round does all that is missing.
        """
        with self._lock:
            shown, is_all_due, self._is_all_due = self._shown, self._is_all_due, False
        if shown is None:
            return
        if is_all_due:
            self._publisher.republish_all()
        if self._has_begun:
            self._mailboxes.look()
        else:
            self._hub.begin()
            self._written, self._has_begun = {}, True
        if self._mailboxes.keys or not self._written:
            self._write(shown, self._mailboxes.keys)
        elif len(self._written) > 1:  # the last mailbox was closed
            self._change({SWARM_RUN_FILE: self._written[SWARM_RUN_FILE]})

    def _write(self, shown: Shown, keys: frozenset[str]) -> None:
        """Write the file of the run and one for each mailbox's volunteer."""
        told = Told(shown, want_life_s=0.0, now=0.0)  # by neither of which records are chosen
        by_file: dict[str, list[Payload]] = {
            SWARM_RUN_FILE: [record for record in shown.records if isinstance(record, _FOR_ALL)]
        }
        for key in sorted(keys):
            by_file[swarm_file(key)] = [record for record in told.to(key) if not isinstance(record, _FOR_ALL)]
        self._seal([payload for payloads in by_file.values() for payload in payloads])
        files = {}
        for path, payloads in by_file.items():
            every_s = self._every_s if path == SWARM_RUN_FILE else None
            sealed = [self._sealed[place] for payload in payloads if (place := _place(payload)) in self._sealed]
            files[path] = pack_records([envelope.data for envelope in sealed], every_s)
        self._change(files)

    def _change(self, files: dict[str, bytes]) -> None:
        changed = {path: data for path, data in files.items() if self._written.get(path) != data}
        removed = self._written.keys() - files.keys()
        if changed or removed:
            self._hub.write(changed, sorted(removed), "Records for volunteers that reach no peer")
        self._written = files

    def _seal(self, payloads: list[Payload]) -> None:
        """Seal what is due; of one that the signer refuses for now, the one before stays, if there is any."""
        wanted = {_place(payload): payload for payload in payloads}
        for envelope in self._publisher.due(list(wanted.values())):
            self._sealed[_place(envelope.payload)] = envelope
            if isinstance(envelope.payload, RunSpec):  # by which the judge knows the work that a want needs
                key, subkey = dht_key(self._run_id, "run"), subkey_of(envelope.payload, envelope.signer)
                self._judge.judge(key, subkey, envelope.data, envelope.expires_at)
        self._sealed = {place: sealed for place, sealed in self._sealed.items() if place in wanted}


def open_hub_way(run: RunDir, hub: RunHub, sealer: Sealer, stack: ExitStack) -> list[HubWay]:
    """The way through the Hub, if the run has it.

    Args:
        run: The run directory.
        hub: The run's repos.
        sealer: Signs what is written.
        stack: Ends the thread.

    Raises:
        HubError: The Hub does not answer or refuses.
    """
    every_s = run.config.hub.mailboxes_every_s
    if every_s == 0:
        HubMailboxes(hub).end()
        return []
    way = HubWay(
        HubMailboxes(hub),
        RecordJudge(run.run_id, run.identity.public_key),
        Publisher(sealer),
        run_id=run.run_id,
        num_buckets=run.config.run.num_buckets,
        every_s=every_s,
    )
    stop = threading.Event()
    thread = threading.Thread(target=way.run, args=(stop,), name="hub-records", daemon=True)
    thread.start()
    stack.callback(thread.join, _LAST_ROUND_S)
    stack.callback(stop.set)
    return [way]


def _place(payload: Payload) -> tuple[str, str]:
    return payload.kind, subkey_of(payload, "")
