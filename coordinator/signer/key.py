"""What the signer does with the run's key: it signs valid records of the run, of some kinds, and not too many."""

from __future__ import annotations

import json
import logging
import threading
import time

from paris.coordinator.run.derived import PURPOSES, derived_secret
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.lives import life_s
from paris.coordinator.signer.messages import Answered, Ask
from paris.protocol.canonical import canonical_bytes
from paris.protocol.clock import Clock
from paris.protocol.envelope import DOMAIN, Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.keys import subkey_of
from paris.protocol.payload import Payload
from paris.protocol.record_rules import RECORD_RULES

logger = logging.getLogger(__name__)
KINDS = {kind for kind, rule in RECORD_RULES.items() if rule.signer == "coordinator"} - {"invite"}
"""All of the coordinator but invites, which `paris-coord invite` signs where the key is."""
MOST_AT_ONCE = 20_000
"""Signatures after a quiet time: a service that starts publishes all its records."""
MOST_PER_S = 50.0
"""Signatures in the long run: each record is sealed again every five minutes."""
_AHEAD_S = 1200.0
"""How far a sequence may be ahead of the clock: a service that starts goes on above what was reserved, ten minutes."""
_ROUNDING_S = 1.0


class RunKey:
    """Answers what is asked of the run's key. Thread-safe.

    Args:
        run: Holds the key.
        clock: UTC seconds.
        steady: Seconds that only grow.
    """

    def __init__(self, run: RunDir, clock: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._run, self._clock, self._steady = run, clock, steady
        self._lock = threading.Lock()
        self._left, self._counted_at = float(MOST_AT_ONCE), steady()

    def answer(self, ask: Ask) -> Answered:
        """Answer a question; why it is refused is in the answer and in the log."""
        try:
            match ask.what:
                case "key":
                    return Answered(value=self._run.identity.public_key)
                case "derive":
                    return self._derived(ask.value)
                case "sign":
                    return Answered(value=self._signed(bytes.fromhex(ask.value)))
        except (ParisError, ValueError) as error:
            logger.warning("Refused to %s: %s", ask.what, error)
            return Answered(refused=str(error)[:1000])

    def _derived(self, purpose: str) -> Answered:
        if purpose not in PURPOSES:
            raise ValueError(f"There is no secret for {purpose!r}.")
        return Answered(value=derived_secret(self._run, purpose).hex())

    def _signed(self, message: bytes) -> str:
        if not message.startswith(DOMAIN):
            raise ValueError("This is no record.")
        body = json.loads(message.removeprefix(DOMAIN))
        if not isinstance(body, dict) or body.get("kind") not in KINDS:
            raise ValueError("This is no record of a kind that the signer signs.")
        signature = self._run.identity.sign(message)
        data = canonical_bytes({**body, "signature": signature})
        # As every peer judges it; a signature of anything else stays here.
        envelope = open_envelope(
            data, run_id=self._run.run_id, coordinator=self._run.identity.public_key, now=self._clock()
        )
        _require_bounded(envelope, self._clock())
        self._count()
        place = subkey_of(envelope.payload, envelope.signer)
        logger.info("Signed %s %s, sequence %d.", envelope.payload.kind, place, envelope.sequence)
        return signature

    def _count(self) -> None:
        with self._lock:
            now = self._steady()
            self._left = min(MOST_AT_ONCE, self._left + (now - self._counted_at) * MOST_PER_S)
            self._counted_at = now
            if self._left < 1:
                raise ValueError(f"More than {MOST_PER_S:g} records a second were to be signed.")
            self._left -= 1


def _require_bounded(envelope: Envelope[Payload], now: float) -> None:
    """Refuse what would stand in the way of later records: a sequence or a life that the service does not use."""
    ahead_s = envelope.sequence / 1000 - now
    if ahead_s > _AHEAD_S:
        raise ValueError(
            f"The sequence of the {envelope.kind} record is {ahead_s:.0f} s ahead of this machine's clock, more than "
            f"{_AHEAD_S:.0f} s. Set the clock, or wait if it was set back."
        )
    asked_s, longest_s = envelope.expires_at - envelope.issued_at, life_s(envelope.kind)
    if asked_s > longest_s + _ROUNDING_S:
        raise ValueError(f"The {envelope.kind} record would live for {asked_s:.0f} s, more than {longest_s:.0f} s.")
