"""What this node has of the run's shards, what it fetches, and what it wants: what others are told when they ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from paris.node.fetching.cache import Cache
from paris.protocol.records import Shard
from paris.protocol.shard_request import ShardStatus


class ShardBoard:
    """The shards of this node's manifests; safe to use from any thread.

    Args:
        cache: Where whole, verified files are.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._num_bytes: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._fetching: set[str] = set()
        self._asked_for: set[str] = set()

    def add(self, shards: Iterable[Shard]) -> None:
        """Know shards of a signed manifest; nothing else is ever served or asked for."""
        with self._lock:
            self._num_bytes |= {shard.sha256: shard.bytes for shard in shards}

    def want(self, hashes: Iterable[str]) -> None:
        """What is to be fetched from now on, instead of what was said before."""
        with self._lock:
            self._wanted = set(hashes)
            self._asked_for &= self._wanted

    def asked_for(self) -> frozenset[str]:
        """What others were told that this node wants: they may wait for it."""
        with self._lock:
            return frozenset(self._asked_for)

    def knows(self, sha256: str) -> bool:
        """Whether this is a shard of one of the manifests."""
        return sha256 in self._num_bytes

    @contextlib.contextmanager
    def fetching(self, sha256: str) -> Iterator[None]:
        """While a shard is on its way here."""
        with self._lock:
            self._fetching.add(sha256)
        try:
            yield
        finally:
            with self._lock:
                self._fetching.discard(sha256)

    def status(self, sha256: str) -> ShardStatus:
        """What to tell somebody with a lease who asks for a shard; WANTED is remembered as `asked_for`."""
        with self._lock:
            if sha256 not in self._num_bytes:
                return ShardStatus.REFUSED
            if self.path(sha256) is not None:
                return ShardStatus.HERE
            if sha256 in self._fetching:
                return ShardStatus.FETCHING
            if sha256 not in self._wanted:
                return ShardStatus.ABSENT
            self._asked_for.add(sha256)
            return ShardStatus.WANTED

    def path(self, sha256: str) -> Path | None:
        """The whole file of a known shard, None where it is not here."""
        path = self._cache.file(sha256)
        try:
            return path if path.stat().st_size == self._num_bytes[sha256] else None
        except FileNotFoundError:
            return None

    def num_bytes(self, sha256: str) -> int:
        """Size of a known shard."""
        return self._num_bytes[sha256]
