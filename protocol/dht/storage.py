"""What a peer holds for the swarm: signed records by key and subkey, each until its own expiry.

Replaces hivemind's storage, which has a fatal flaw for us: a refused write with a *sooner* expiry re-arms the expiry of
the record that it lost against, so that anybody could end a lease by sending an older copy of it. Here the winner is
known before anything changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue
from hivemind.utils.timed_storage import ValueWithExpiration

from paris.protocol.limits import MAX_DICTIONARY_BYTES, MAX_SUBKEYS_PER_SIGNER

_PUBLIC_KEY_DIGITS = 64
_Dictionary = dict[str, ValueWithExpiration]


class RecordStorage(DHTLocalStorage):  # type: ignore[misc]  # hivemind is untyped
    """The records of one peer. Every key is a dictionary; plain values have no place.

    Whatever is handed out is a copy: hivemind merges what other peers say into the objects it gets here.

    Args:
        clock: UTC seconds now.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._dictionaries: dict[DHTID, _Dictionary] = {}

    def store(self, key: DHTID, value: Any, expiration_time: float, subkey: str | None = None) -> bool:
        """Keep a record if it expires later than the one in its place.

        Returns:
            Whether it was kept. False changes nothing: not the record that stays, nor how long it stays.
        """
        if subkey is None:
            return False
        return self.store_subkey(key, subkey, value, expiration_time)

    def store_subkey(self, key: DHTID, subkey: str, value: bytes, expiration_time: float) -> bool:
        """The same as `store`, as hivemind's RPCs call it."""
        if expiration_time <= self._clock():
            return False
        dictionary = self._alive(key)
        current = dictionary.get(subkey)
        if current is not None and current.expiration_time >= expiration_time:
            return False
        if not _has_room(dictionary, subkey, value):
            return False
        dictionary[subkey] = ValueWithExpiration(value, expiration_time)
        self._dictionaries[key] = dictionary
        return True

    def get(self, key: DHTID) -> ValueWithExpiration | None:
        """A copy of the dictionary under a key, with the latest expiry in it; None if nothing is alive there."""
        dictionary = self._alive(key)
        if not dictionary:
            return None
        copy = DictionaryDHTValue()
        with copy.freeze():
            for subkey, (value, expiration_time) in dictionary.items():
                copy.store(subkey, value, expiration_time)
        return ValueWithExpiration(copy, copy.latest_expiration_time)

    def items(self) -> Iterator[tuple[DHTID, ValueWithExpiration]]:
        """Copies of all dictionaries that are alive."""
        for key in list(self._dictionaries):
            found = self.get(key)
            if found is not None:
                yield key, found

    def num_records(self) -> int:
        """How many records are alive, over all keys."""
        return sum(len(self._alive(key)) for key in list(self._dictionaries))

    def clear(self) -> None:
        """Drop everything."""
        self._dictionaries.clear()

    def __contains__(self, key: DHTID) -> bool:
        return bool(self._alive(key))

    def __len__(self) -> int:
        return sum(1 for key in list(self._dictionaries) if self._alive(key))

    def __bool__(self) -> bool:
        return len(self) > 0

    def __delitem__(self, key: DHTID) -> None:
        self._dictionaries.pop(key, None)

    def __repr__(self) -> str:
        return f"RecordStorage({self.num_records()} records)"

    def _alive(self, key: DHTID) -> _Dictionary:
        """The live dictionary itself, after dropping what has expired; an unattached empty one if there is none."""
        dictionary = self._dictionaries.get(key)
        if dictionary is None:
            return {}
        now = self._clock()
        for subkey in [subkey for subkey, item in dictionary.items() if item.expiration_time <= now]:
            del dictionary[subkey]
        if not dictionary:
            del self._dictionaries[key]
        return dictionary


def _has_room(dictionary: _Dictionary, subkey: str, value: bytes) -> bool:
    """Whether a record still fits under a key, and under its signer's share of the key."""
    used_bytes = sum(len(name) + len(item.value) for name, item in dictionary.items() if name != subkey)
    if used_bytes + len(subkey) + len(value) > MAX_DICTIONARY_BYTES:
        return False
    signer, separator, _ = subkey.partition(".")
    if not separator or len(signer) != _PUBLIC_KEY_DIGITS or subkey in dictionary:
        return True
    return sum(name.startswith(f"{signer}.") for name in dictionary) < MAX_SUBKEYS_PER_SIGNER
