"""The direct way: this node asks one of the run's own peers, and is told what concerns it (`protocol/line.py`).

What it was told is kept in memory. It asks with each record that it sends, and again when the coordinator said.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable
from typing import Any

from paris.node.retry import Backoff
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.way import KEPT_THERE
from paris.protocol.addresses import split_peer_address
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.keys import BUCKETED
from paris.protocol.line import MAX_KNOWN, LineReply, mark_of, open_reply, seal_request
from paris.protocol.outcome import Outcome
from paris.protocol.payload import Payload
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer

_logger = logging.getLogger(__name__)
_TIMEOUT_S = 12.0
"""For connecting, the coordinator's step, and the reply."""
_LONGEST_ASK_S = 900.0
_SEND_AGAIN_S = 600.0
"""A record that the coordinator keeps on its disk is sent again after so long, for the case that it lost it."""
_OUTCOMES = {"stored": Outcome.STORED, "full": Outcome.FULL, "refused": Outcome.REFUSED}


class LineWay:
    """Asks the coordinator. Safe to use from several threads.

    Args:
        swarm: The connection that carries the requests; it knows the addresses of the run's own peers.
        sealer: Signs the requests.
        run: The run's description, as this node knows it.
        clock: Seconds that only grow.
        wall: UTC seconds.
        backoff: How long a peer that does not answer is left alone.
    """

    name = "line"
    look_s = 1.0

    def __init__(
        self,
        swarm: Swarm,
        sealer: Sealer,
        run: Envelope[RunSpec],
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        backoff: Backoff | None = None,
    ) -> None:
        self._swarm, self._sealer, self._run = swarm, sealer, run
        self._clock, self._wall = clock, wall
        self._backoff = backoff or Backoff(first_s=5.0, cap_s=300.0)
        self._asking = threading.Lock()
        """Held during a request."""
        self._told: dict[str, Envelope[Any]] = {mark_of(run.payload): run}
        """By mark; replaced as a whole."""
        self._resting: dict[str, tuple[int, float]] = {}
        """By address: failures in a row, and until when it is left alone."""
        self._sent: dict[str, tuple[Payload, float]] = {}
        """By kind: what the coordinator has, and until when it need not be sent again."""
        self._ask_at = clock()
        self._is_up = False
        self._place: int | None = None

    @property
    def place(self) -> int | None:
        """See `Way.place`."""
        return self._place if self._is_up else None

    @property
    def is_up(self) -> bool:
        """Whether the last request was answered."""
        return self._is_up

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """See `Way.publish`; it carries what the coordinator reads."""
        if envelope.kind not in BUCKETED:
            return Outcome.UNANSWERED
        with self._asking:
            sent, until = self._sent.get(envelope.kind, (None, 0.0))
            if sent is not None and self._clock() < until and _content(sent) == _content(envelope.payload):
                return Outcome.STORED
            reply = self._asked(envelope.data, needs_room=envelope.kind in KEPT_THERE)
            if reply is None:
                return Outcome.UNANSWERED
            outcome = _OUTCOMES.get(reply.head.outcome, Outcome.REFUSED)
            if outcome is Outcome.STORED and envelope.kind in KEPT_THERE:
                self._sent[envelope.kind] = envelope.payload, self._clock() + _SEND_AGAIN_S
            if outcome is Outcome.REFUSED:
                _logger.info("The coordinator refused a %s: %s", envelope.kind, reply.head.reason)
            return outcome

    def read(self, kind: str) -> list[Envelope[Any]] | None:
        """See `Way.read`. It asks the coordinator if that is due, and no request is under way."""
        if self._clock() >= self._ask_at and self._asking.acquire(blocking=False):
            try:
                self._asked(None)
            finally:
                self._asking.release()
        if not self._is_up:
            return None
        return [envelope for envelope in self._told.values() if envelope.kind == kind]

    def _asked(self, record: bytes | None, *, needs_room: bool = False) -> LineReply | None:
        """Ask the first of the run's peers that is not left alone; the last reply, None without one.

        Args:
            record: To be taken in; None only asks.
            needs_room: Whether to ask the next peer where one is full.
        """
        reply = None
        now = self._clock()
        addresses = [address for address in self._swarm.initial_peers if self._resting.get(address, (0, 0.0))[1] <= now]
        for address in addresses:
            try:
                found = self._exchange(address, record)
            except ParisError as error:
                self._leave_alone(address, error)
                continue
            self._resting.pop(address, None)
            reply = found
            wait_s = min(reply.head.ask_again_s, _LONGEST_ASK_S) * random.uniform(0.8, 1.2)
            self._ask_at, self._place = self._clock() + wait_s, reply.head.place
            self._learn(reply)
            if not needs_room or reply.head.outcome != "full":
                break
        self._is_up = reply is not None
        if reply is None:
            self._ask_at = min((until for _, until in self._resting.values()), default=now + self._backoff.first_s)
        return reply

    def _exchange(self, address: str, record: bytes | None) -> LineReply:
        """One request.

        Raises:
            ParisError: No reply, or none that can be read.
        """
        request = seal_request(
            self._sealer,
            run_id=self._run.run_id,
            to=split_peer_address(address)[1],
            known=list(self._told)[-MAX_KNOWN:],
            record=record,
            at=self._wall(),
        )
        return open_reply(self._swarm.ask_line(address, request, timeout_s=_TIMEOUT_S))

    def _leave_alone(self, address: str, error: ParisError) -> None:
        failures = self._resting.get(address, (0, 0.0))[0] + 1
        wait_s = self._backoff.wait_s(failures)
        self._resting[address] = failures, self._clock() + wait_s
        _logger.info("The line is not used for %.0f s: %s", wait_s, error.what)

    def _learn(self, reply: LineReply) -> None:
        """Keep what the coordinator tells now, and nothing else."""
        told = {mark: envelope for mark, envelope in self._told.items() if mark not in reply.head.gone}
        for envelope in self._opened(reply.records):
            told[mark_of(envelope.payload)] = envelope
            if envelope.kind == "run":
                self._swarm.follow(envelope)
        self._told = dict(list(told.items())[-MAX_KNOWN:])

    def _opened(self, records: Iterable[bytes]) -> Iterable[Envelope[Any]]:
        """The valid ones of the coordinator."""
        for data in records:
            try:
                envelope = open_envelope(data, run_id=self._run.run_id, coordinator=self._run.signer, now=self._wall())
            except ParisError as error:
                _logger.info("A record of the line is left out: %s", error.what)
                continue
            if RECORD_RULES[envelope.kind].signer == "coordinator":
                yield envelope


def _content(payload: Payload) -> Payload:
    """A record without the lease in it, which is renewed meanwhile."""
    return payload.model_copy(update={"lease": None})
