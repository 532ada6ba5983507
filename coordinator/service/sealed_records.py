"""The coordinator's records as they are sealed for the line, each once while it holds."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from paris.coordinator.run.lives import LIFE_S, life_s
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.keys import subkey_of
from paris.protocol.line import mark_of
from paris.protocol.payload import Payload
from paris.protocol.sealer import Sealer

_MOST_KEPT = 16384


@dataclass
class _Sealed:
    payload: Payload
    mark: str
    envelope: Envelope[Payload] | None = None
    sealed_at: float = 0.0
    """By the clock that only grows."""


class SealedRecords:
    """Marks and seals records; those not asked for lately are forgotten. For one thread at a time.

    Args:
        sealer: Signs them.
        clock: Seconds that only grow.
    """

    def __init__(self, sealer: Sealer, clock: Clock = time.monotonic) -> None:
        self._sealer, self._clock = sealer, clock
        self._kept: OrderedDict[tuple[str, str], _Sealed] = OrderedDict()

    def mark(self, payload: Payload) -> str:
        """What names the content of a record."""
        return self._found(payload).mark

    def data(self, payload: Payload) -> bytes:
        """The sealed bytes, of which a third of the life is over at most."""
        found, now = self._found(payload), self._clock()
        if found.envelope is None or now - found.sealed_at >= LIFE_S / 3:
            found.envelope, found.sealed_at = self._sealer.seal(payload, life_s(payload.kind)), now
        return found.envelope.data

    def forget_seals(self) -> None:
        """Seal all anew when they are asked for: the clock that stands in them has jumped."""
        self._kept.clear()

    def _found(self, payload: Payload) -> _Sealed:
        place = payload.kind, subkey_of(payload, self._sealer.public_key)
        found = self._kept.pop(place, None)
        if found is None or (found.payload is not payload and found.payload != payload):
            found = _Sealed(payload, mark_of(payload))
        self._kept[place] = found
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found
