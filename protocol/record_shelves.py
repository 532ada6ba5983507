"""The records that one peer holds for a run, by key and subkey, until they expire; with the limits that peers enforce.

A refused write changes nothing. Under a full key a record takes the place of less proven ones.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from paris.protocol.limits import MAX_CLOCK_SKEW_S, MAX_DICTIONARY_BYTES, MAX_SUBKEYS_PER_SIGNER

_PUBLIC_KEY_DIGITS = 64
Rank = Callable[[str], int]
Key = TypeVar("Key", bound=Hashable)


class Held(NamedTuple):
    """One record as it was stored."""

    value: bytes
    expires_at: float
    """UTC seconds."""


class Shelf:
    """The records under one key, with running totals for the limits."""

    def __init__(self) -> None:
        self.records: dict[str, Held] = {}
        self.fresh: dict[str, None] = {}
        """Subkeys of the records that were put since they were taken last."""
        self.clock_offsets: dict[str, float] = {}
        """How far the wall clock was from the monotonic one when each record was stored."""
        self._used_bytes = 0
        self._per_signer: Counter[str] = Counter()
        self._next_expiry = math.inf
        """No record expires earlier. May be too early after a renewal."""

    def put(self, subkey: str, item: Held, clock_offset: float) -> None:
        """Keep a record in place of the one with its subkey."""
        self.drop(subkey)
        self.records[subkey], self.clock_offsets[subkey] = item, clock_offset
        self.fresh[subkey] = None
        self._used_bytes += len(subkey) + len(item.value)
        self._per_signer[_signer_of(subkey)] += 1
        self._next_expiry = min(self._next_expiry, item.expires_at)

    def drop(self, subkey: str) -> None:
        """Remove a record, if there is one."""
        item = self.records.pop(subkey, None)
        if item is not None:
            del self.clock_offsets[subkey]
            self.fresh.pop(subkey, None)
            self._used_bytes -= len(subkey) + len(item.value)
            self._per_signer[_signer_of(subkey)] -= 1

    def drop_expired(self, now: float) -> None:
        """Remove what expired, UTC seconds."""
        if now < self._next_expiry:
            return
        for subkey in [subkey for subkey, item in self.records.items() if item.expires_at <= now]:
            self.drop(subkey)
        self._next_expiry = min((item.expires_at for item in self.records.values()), default=math.inf)

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
        ranked = ((rank(name), item.expires_at, name) for name, item in self.records.items() if name != subkey)
        for _, _, name in sorted(entry for entry in ranked if entry[0] < own):
            leaving.append(name)
            missing_bytes -= len(name) + len(self.records[name].value)
            if missing_bytes <= 0:
                for left in leaving:
                    self.drop(left)
                return True
        return False


class RecordShelves(Generic[Key]):
    """The records of one peer under all keys.

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
        self.clock, self._monotonic, self._rank = clock, monotonic, rank
        self._shelves: dict[Key, Shelf] = {}

    def store(self, key: Key, subkey: str, value: bytes, expires_at: float) -> bool:
        """Store a record if it expires later than the stored one.

        Returns:
            Whether it was stored. If not, nothing changes, including the expiry of the stored record.
        """
        now = self.clock()
        clock_offset = now - self._monotonic()
        if expires_at <= now:
            return False
        shelf = self._alive(key) or Shelf()
        current = shelf.records.get(subkey)
        if current is not None and current.expires_at >= expires_at:
            # A record stored while the clock of this machine was ahead expires too late, and would block the place.
            was_ahead = shelf.clock_offsets[subkey] > clock_offset + MAX_CLOCK_SKEW_S
            if not was_ahead:
                return False
        if not shelf.make_room(subkey, value, self._rank):
            return False
        shelf.put(subkey, Held(value, expires_at), clock_offset)
        self._shelves[key] = shelf
        return True

    def under(self, key: Key) -> dict[str, Held]:
        """The unexpired records under a key, by subkey; a copy."""
        shelf = self._alive(key)
        return {} if shelf is None else dict(shelf.records)

    def take_fresh(self, key: Key) -> dict[str, Held]:
        """The unexpired records under a key that were stored since the last call, by subkey."""
        shelf = self._alive(key)
        if shelf is None:
            return {}
        fresh, shelf.fresh = shelf.fresh, {}
        return {subkey: shelf.records[subkey] for subkey in fresh}

    def __iter__(self) -> Iterator[Key]:
        """The keys that have unexpired records."""
        for key in list(self._shelves):
            if self._alive(key) is not None:
                yield key

    def num_records(self) -> int:
        """Number of unexpired records under all keys."""
        shelves = [self._alive(key) for key in list(self._shelves)]
        return sum(len(shelf.records) for shelf in shelves if shelf is not None)

    def clear(self) -> None:
        """Remove all records."""
        self._shelves.clear()

    def remove(self, key: Key) -> None:
        """Remove the records under a key."""
        self._shelves.pop(key, None)

    def _alive(self, key: Key) -> Shelf | None:
        """The records under a key without expired ones; None if none is left."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return None
        shelf.drop_expired(self.clock())
        if not shelf.records:
            del self._shelves[key]
            return None
        return shelf


def _signer_of(subkey: str) -> str:
    """The signer of a volunteer's subkey; empty for other subkeys."""
    signer, separator, _ = subkey.partition(".")
    return signer if separator and len(signer) == _PUBLIC_KEY_DIGITS else ""
