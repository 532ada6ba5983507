"""The direct way: volunteers ask this coordinator, and are told what concerns them (`protocol/line.py`).

Requests come from threads of the DHT peer, whole steps from the loop. A record is kept until a step has taken it in;
a request whose record causes something waits for that step, and wakes the loop. All that is kept is bounded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from paris.coordinator.run.lives import RUN_LIFE_S
from paris.coordinator.service.request_rates import RequestRates
from paris.coordinator.service.sealed_records import SealedRecords
from paris.coordinator.service.told import Told
from paris.coordinator.service.ways import Shown
from paris.protocol.canonical import parse_json
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, PeerError, RecordError, reason_of
from paris.protocol.keys import BUCKETED, bucket_of, dht_key
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.line import LineOutcome, LineRequest, ReplyHead, Taken, make_reply, open_request
from paris.protocol.payload import Payload
from paris.protocol.refusals import Reason, Refused
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer
from paris.protocol.validator import RecordJudge
from paris.protocol.version import PROTOCOL_VERSION
from paris.protocol.work_records import Heartbeat, Want

logger = logging.getLogger(__name__)
_MOST_PENDING = 4096
_MOST_WANTS = 3072
"""Of the pending records: wants are free, and must not keep out those that carry a lease."""
_MOST_WAITING = 256
_MOST_REQUESTS = 30
"""Of one key or peer in ten seconds."""
_ASK_AGAIN_S = 20.0
_ASKS_PER_S = 20.0
"""Of all volunteers together: where there are many, each asks less often."""
_FULL_S = 10.0
_Place = tuple[str, str]
"""Kind and subkey of a volunteer's record."""


@dataclass(eq=False)
class _Request:
    """A request whose reply is due."""

    taken: Taken
    known: tuple[str, ...]
    outcome: LineOutcome = "none"
    reason: str = ""
    envelope: Envelope[Payload] | None = None
    """Its accepted record."""
    place: _Place | None = None


class LineDesk:
    """Answers requests, and hands their records to the loop.

    Args:
        run_id: The run.
        spec: Its description, as published.
        sealer: Of the coordinator.
        wake: Set when a step should run soon.
        clock: UTC seconds.
        steady: Seconds that only grow.
        silent_after_s: Without a step for so long no request is answered, so that volunteers turn elsewhere: nothing
            that they send would be taken in.
        every_s: Between two steps. In that time one key wakes the loop once.
    """

    delay_s = 0.0
    """See `Way.delay_s`."""

    def __init__(
        self,
        run_id: str,
        spec: RunSpec,
        sealer: Sealer,
        wake: threading.Event,
        clock: Clock = time.time,
        steady: Clock = time.monotonic,
        silent_after_s: float = 60.0,
        every_s: float = 5.0,
    ) -> None:
        self._run_id, self._spec, self._wake, self._clock = run_id, spec, wake, clock
        self._steady, self._silent_after_s, self._shown_at = steady, silent_after_s, steady()
        self._judge = RecordJudge(run_id, sealer.public_key, clock)
        sealed = sealer.seal(spec, RUN_LIFE_S)
        self._judge.judge(dht_key(run_id, "run"), sealer.public_key, sealed.data, sealed.expires_at)
        self._sealed = SealedRecords(sealer, steady)
        self._rates = RequestRates(_MOST_REQUESTS, steady)
        self._wakes = RequestRates(1, steady, every_s)
        self._lock = threading.Lock()
        """Guards the fields below, and those above that are for one thread at a time."""
        self._told: Told | None = None
        self._pending: dict[_Place, Envelope[Payload]] = {}
        self._handed: dict[_Place, Envelope[Payload]] = {}
        self._waiting: dict[Taken, _Request] = {}

    def take(self, request: bytes, *, to: str, peer: str) -> Taken | None:
        """See `LineServer.take`."""
        with self._lock:
            if self._steady() - self._shown_at > self._silent_after_s or not self._rates.may(peer):
                return None
        try:
            opened = open_request(request, run_id=self._run_id, to=to, now=self._clock())
        except ParisError:
            return None
        with self._lock:
            due = self._admitted(opened)
            if due is not None and not self._must_wait(due):
                self._answer(due)
            return due.taken if due is not None else None

    def hurry(self, taken: Taken) -> None:
        """See `LineServer.hurry`."""
        with self._lock:
            due = self._waiting.pop(taken, None)
            if due is None:
                return
            if due.envelope is not None and not isinstance(due.envelope.payload, Want | Heartbeat):
                due.outcome = "full"  # a step takes it in later, and may fail: no receipt before it is on the disk
            self._answer(due)

    def received(self, kinds: Sequence[str]) -> list[Envelope[Payload]]:
        """See `Way.received`."""
        with self._lock:
            found = {place: envelope for place, envelope in self._pending.items() if place[0] in kinds}
            self._handed |= found
            return list(found.values())

    def show(self, shown: Shown) -> None:
        """Tell volunteers what follows from the step, first those that wait for it."""
        told = Told(shown, max(10.0, 4 * self._spec.heartbeat_every_s), self._clock())
        with self._lock:
            self._told, self._shown_at = told, self._steady()
            for place, envelope in self._handed.items():
                if self._pending.get(place) is envelope:
                    del self._pending[place]
            self._handed = {}
            for place in [place for place, envelope in self._pending.items() if envelope.expires_at <= told.now]:
                del self._pending[place]
            for due in list(self._waiting.values()):
                if due.place is None or self._pending.get(due.place) is not due.envelope:
                    del self._waiting[due.taken]
                    self._answer(due)

    def show_all_again(self) -> None:
        """Seal every record anew when it is asked for."""
        with self._lock:
            self._sealed.forget_seals()

    def keep_alive(self) -> None:
        """There is nothing to restart: it lives in the DHT peer."""

    def _admitted(self, opened: LineRequest) -> _Request | None:
        """A request with its record judged; None: it is to be refused without a reply."""
        head = opened.head
        due = _Request(Taken(head.signer, Future()), head.known)
        if not self._rates.may(head.signer):
            due.outcome = "full" if opened.record is not None else "none"
            return due
        if opened.record is None:
            return due
        try:
            place, envelope = self._judged(opened.record, head.signer)
        except _RecordRefused as refused:
            due.outcome, due.reason = "refused", str(refused)[:300]
            return due
        if place not in self._pending and self._is_full(place[0]):
            due.outcome = "full"
            return due
        self._pending[place] = envelope
        due.outcome, due.place, due.envelope = "stored", place, envelope
        return due

    def _judged(self, record: bytes, signer: str) -> tuple[_Place, Envelope[Payload]]:
        """Judge a volunteer's record as the DHT's peers do."""
        kind, subkey, expires_at = _claims(record, signer)
        if kind not in BUCKETED:
            raise _RecordRefused(f"{Reason.WRONG_KIND}: A {kind} record is none that the line takes.")
        key = dht_key(self._run_id, kind, bucket_of(signer, self._spec.num_buckets))
        verdict = self._judge.judge(key, subkey, record, expires_at)
        if isinstance(verdict, Refused):
            raise _RecordRefused(f"{verdict.reason}: {verdict.detail}")
        return (kind, subkey), verdict.envelope

    def _is_full(self, kind: str) -> bool:
        if len(self._pending) >= _MOST_PENDING:
            return True
        return kind == "want" and sum(place[0] == "want" for place in self._pending) >= _MOST_WANTS

    def _must_wait(self, due: _Request) -> bool:
        """Let a request wait for the next step if its record causes something; whether it waits."""
        if due.envelope is None or not self._causes_something(due.envelope):
            return False
        if self._may_wake(due.envelope):
            self._wake.set()
        if len(self._waiting) >= _MOST_WAITING:
            return False
        self._waiting[due.taken] = due
        return True

    def _causes_something(self, envelope: Envelope[Payload]) -> bool:
        record, told = envelope.payload, self._told
        if isinstance(record, Want):
            return record.state == "waiting" and (told is None or not told.waits(envelope.signer))
        return not isinstance(record, Heartbeat) or record.state == "failed"

    def _may_wake(self, envelope: Envelope[Payload]) -> bool:
        """Whether it need not wait for the next regular step: not too often, and not for a lease that is over."""
        lease_id = getattr(envelope.payload, "lease_id", None)
        if lease_id is not None and self._told is not None and not self._told.is_live(lease_id):
            return False
        return self._wakes.may(envelope.signer)

    def _answer(self, due: _Request) -> None:
        """Reply, or let the reply fail; never raises."""
        if not due.taken.reply.set_running_or_notify_cancel():
            return
        record = None if due.envelope is None else due.envelope.payload
        try:
            reply = self._reply(due, record)
        except Exception as error:  # the signer's, the database's: whoever waits must not wait for ever
            logger.debug("A reply could not be made.", exc_info=True)
            due.taken.reply.set_exception(PeerError(f"The reply could not be made: {reason_of(error)}"))
        else:
            due.taken.reply.set_result(reply)

    def _reply(self, due: _Request, record: Payload | None) -> bytes:
        told, volunteer = self._told, due.taken.signer
        task_id, lease_id = (getattr(record, name, None) for name in ("task_id", "lease_id"))
        payloads = [] if told is None else told.to(volunteer, task_id, lease_id)
        current = {self._sealed.mark(payload): payload for payload in payloads}
        head = ReplyHead(
            version=PROTOCOL_VERSION,
            outcome=due.outcome,
            reason=due.reason,
            place=None if told is None else told.place(volunteer),
            ask_again_s=_FULL_S if due.outcome == "full" else self._ask_again_s(record),
            gone=() if told is None else tuple(mark for mark in due.known if mark not in current),
        )
        news = [self._sealed.data(payload) for mark, payload in current.items() if mark not in due.known]
        return make_reply(head, news)

    def _ask_again_s(self, record: Payload | None) -> float:
        """Seconds until the volunteer asks again; at work its next heartbeat comes before."""
        every_s = self._spec.heartbeat_every_s
        wait_s = min(_ASK_AGAIN_S, max(1.0, every_s / 3))
        if isinstance(record, Heartbeat) and record.state in ("training", "paused"):
            wait_s = 1.5 * every_s
        return max(wait_s, (0 if self._told is None else self._told.num_present) / _ASKS_PER_S)


class _RecordRefused(Exception):
    """The record in a request is not taken; the text is the reason."""


def _claims(record: bytes, signer: str) -> tuple[str, str, float]:
    """Kind, place and expiry that a record says it has; the judge compares them with what is signed."""
    try:
        raw: Any = parse_json(record, max_bytes=MAX_RECORD_BYTES)
    except RecordError as error:
        raise _RecordRefused(f"{Reason.MALFORMED}: {error.what}") from error
    payload = raw.get("payload") if isinstance(raw, dict) else None
    if not isinstance(payload, dict) or not isinstance(raw.get("expires_at"), int | float):
        raise _RecordRefused(f"{Reason.MALFORMED}: The record is no envelope.")
    kind = str(raw.get("kind"))
    subkey = signer if kind == "want" else f"{signer}.{payload.get('lease_id')}"
    return kind, subkey, raw["expires_at"]
