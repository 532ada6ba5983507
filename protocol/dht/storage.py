"""Records that a peer stores for the swarm, by key and subkey, until they expire.

In hivemind's storage, a refused write with an *earlier* expiry changes the expiry of the stored record, so anyone could
end a lease by sending an older copy of it. Here a refused write changes nothing. Under a full key a record takes the
place of less proven ones.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue
from hivemind.utils.timed_storage import ValueWithExpiration

from paris.protocol.limits import MAX_CLOCK_SKEW_S, MAX_DICTIONARY_BYTES, MAX_SUBKEYS_PER_SIGNER

_PUBLIC_KEY_DIGITS = 64
Rank = Callable[[str], int]


class _Shelf:
    """The records under one key, with running totals for the limits."""

    def __init__(self) -> None:
        self.records: dict[str, ValueWithExpiration] = {}
        self.clock_offsets: dict[str, float] = {}
        """How far the wall clock was from the monotonic one when each record was stored."""
        self._used_bytes = 0
        self._per_signer: Counter[str] = Counter()
        self._next_expiry = math.inf
        """No record expires earlier. May be too early after a renewal."""

    def put(self, subkey: str, item: ValueWithExpiration, clock_offset: float) -> None:
        self.drop(subkey)
        self.records[subkey], self.clock_offsets[subkey] = item, clock_offset
        self._used_bytes += len(subkey) + len(item.value)
        self._per_signer[_signer_of(subkey)] += 1
        self._next_expiry = min(self._next_expiry, item.expiration_time)

    def drop(self, subkey: str) -> None:
        item = self.records.pop(subkey, None)
        if item is not None:
            del self.clock_offsets[subkey]
            self._used_bytes -= len(subkey) + len(item.value)
            self._per_signer[_signer_of(subkey)] -= 1

    def drop_expired(self, now: float) -> None:
        if now < self._next_expiry:
            return
        for subkey in [subkey for subkey, item in self.records.items() if item.expiration_time <= now]:
            self.drop(subkey)
        self._next_expiry = min((item.expiration_time for item in self.records.values()), default=math.inf)

    def make_room(self, subkey: str, value: bytes, rank: Rank) -> bool:
        """Whether a record fits into the limits of its signer and of the key, which less proven records then leave."""
        current, signer = self.records.get(subkey), _signer_of(subkey)
        if current is None and signer != "" and self._per_signer[signer] >= MAX_SUBKEYS_PER_SIGNER:
            return False
        freed_bytes = 0 if current is None else len(subkey) + len(current.value)
        missing_bytes = self._used_bytes - freed_bytes + len(subkey) + len(value) - MAX_DICTIONARY_BYTES
        if missing_bytes <= 0:
            return True
        own, leaving = rank(subkey), []
        ranked = ((rank(name), item.expiration_time, name) for name, item in self.records.items() if name != subkey)
        for _, _, name in sorted(entry for entry in ranked if entry[0] < own):
            leaving.append(name)
            missing_bytes -= len(name) + len(self.records[name].value)
            if missing_bytes <= 0:
                for left in leaving:
                    self.drop(left)
                return True
        return False


def _signer_of(subkey: str) -> str:
    """The signer of a volunteer's subkey; empty for other subkeys."""
    signer, separator, _ = subkey.partition(".")
    return signer if separator and len(signer) == _PUBLIC_KEY_DIGITS else ""


class RecordStorage(DHTLocalStorage):
    """The records of one peer. Every key is a dictionary; plain values are refused.

    Returned objects are copies, because hivemind merges other peers' responses into them.

    Args:
        clock: UTC seconds now.
        monotonic: Seconds that only grow.
        rank: How well the signer of a subkey is proven.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        rank: Rank = lambda subkey: 0,
    ) -> None:
        super().__init__()
        self._clock, self._monotonic, self._rank = clock, monotonic, rank
        self._shelves: dict[DHTID, _Shelf] = {}

    def store(self, key: DHTID, value: Any, expiration_time: float, subkey: str | None = None) -> bool:
        """Store a record if it expires later than the stored one.

        Returns:
            Whether it was stored. If not, nothing changes, including the expiry of the stored record.
        """
        if subkey is None:
            return False
        return self.store_subkey(key, subkey, value, expiration_time)

    def store_subkey(self, key: DHTID, subkey: str, value: bytes, expiration_time: float) -> bool:
        """`store` as called by hivemind's RPCs."""
        now = self._clock()
        clock_offset = now - self._monotonic()
        if expiration_time <= now:
            return False
        shelf = self._alive(key) or _Shelf()
        current = shelf.records.get(subkey)
        if current is not None and current.expiration_time >= expiration_time:
            # A record stored while the clock of this machine was ahead expires too late, and would block the place.
            was_ahead = shelf.clock_offsets[subkey] > clock_offset + MAX_CLOCK_SKEW_S
            if not was_ahead:
                return False
        if not shelf.make_room(subkey, value, self._rank):
            return False
        shelf.put(subkey, ValueWithExpiration(value, expiration_time), clock_offset)
        self._shelves[key] = shelf
        return True

    def get(self, key: DHTID) -> ValueWithExpiration | None:
        """A copy of the dictionary under a key, with the latest expiry in it; None if it is empty."""
        shelf = self._alive(key)
        if shelf is None:
            return None
        copy = DictionaryDHTValue()
        with copy.freeze():
            for subkey, (value, expiration_time) in shelf.records.items():
                copy.store(subkey, value, expiration_time)
        return ValueWithExpiration(copy, copy.latest_expiration_time)

    def items(self) -> Iterator[tuple[DHTID, ValueWithExpiration]]:
        """Copies of all dictionaries with unexpired records."""
        for key in list(self._shelves):
            found = self.get(key)
            if found is not None:
                yield key, found

    def num_records(self) -> int:
        """Number of unexpired records under all keys."""
        shelves = [self._alive(key) for key in list(self._shelves)]
        return sum(len(shelf.records) for shelf in shelves if shelf is not None)

    def clear(self) -> None:
        """Remove all records."""
        self._shelves.clear()

    def __contains__(self, key: DHTID) -> bool:
        return self._alive(key) is not None

    def __len__(self) -> int:
        return sum(1 for key in list(self._shelves) if key in self)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __delitem__(self, key: DHTID) -> None:
        self._shelves.pop(key, None)

    def __repr__(self) -> str:
        return f"RecordStorage({self.num_records()} records)"

    def _alive(self, key: DHTID) -> _Shelf | None:
        """The records under a key without expired ones; None if none is left."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return None
        shelf.drop_expired(self._clock())
        if not shelf.records:
            del self._shelves[key]
            return None
        return shelf
