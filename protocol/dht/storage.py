"""The records that a peer stores for the swarm (`protocol/record_shelves.py`), as hivemind's storage.

In hivemind's own storage, a refused write with an *earlier* expiry changes the expiry of the stored record, so anyone
could end a lease by sending an older copy of it. Here a refused write changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue
from hivemind.utils.timed_storage import ValueWithExpiration

from paris.protocol.record_shelves import Rank, RecordShelves


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
        self.shelves: RecordShelves[DHTID] = RecordShelves(clock, monotonic, rank)

    def store(self, key: DHTID, value: Any, expiration_time: float, subkey: str | None = None) -> bool:
        """Store a record if it expires later than the stored one; see `RecordShelves.store`."""
        if subkey is None:
            return False
        return self.store_subkey(key, subkey, value, expiration_time)

    def store_subkey(self, key: DHTID, subkey: str, value: bytes, expiration_time: float) -> bool:
        """`store` as called by hivemind's RPCs."""
        return self.shelves.store(key, subkey, value, expiration_time)

    def get(self, key: DHTID) -> ValueWithExpiration | None:
        """A copy of the dictionary under a key, with the latest expiry in it; None if it is empty."""
        records = self.shelves.under(key)
        if not records:
            return None
        copy = DictionaryDHTValue()
        with copy.freeze():
            for subkey, (value, expires_at) in records.items():
                copy.store(subkey, value, expires_at)
        return ValueWithExpiration(copy, copy.latest_expiration_time)

    def items(self) -> Iterator[tuple[DHTID, ValueWithExpiration]]:
        """Copies of all dictionaries with unexpired records."""
        for key in self.shelves:
            found = self.get(key)
            if found is not None:
                yield key, found

    def num_records(self) -> int:
        """Number of unexpired records under all keys."""
        return self.shelves.num_records()

    def clear(self) -> None:
        """Remove all records."""
        self.shelves.clear()

    def __contains__(self, key: DHTID) -> bool:
        return bool(self.shelves.under(key))

    def __len__(self) -> int:
        return sum(1 for _ in self.shelves)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __delitem__(self, key: DHTID) -> None:
        self.shelves.remove(key)

    def __repr__(self) -> str:
        return f"RecordStorage({self.num_records()} records)"
