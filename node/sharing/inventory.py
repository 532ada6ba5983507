"""Which shards this node has, is fetching, and wants: its answers to other volunteers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from paris.node.fetching.cache import Cache
from paris.protocol.run_records import Shard
from paris.protocol.shard_request import ShardStatus


class Inventory:
    """The shards of this node's manifests. Safe to use from several threads.

    Args:
        cache: Holds complete, verified files.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._num_bytes: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._fetching: set[str] = set()
        self._awaited_by_others: set[str] = set()

    def add(self, shards: Iterable[Shard]) -> None:
        """Add shards of a signed manifest; nothing else is ever served or asked for."""
        with self._lock:
            self._num_bytes |= {shard.sha256: shard.bytes for shard in shards}

    def want(self, hashes: Iterable[str]) -> None:
        """Set which shards are going to be fetched, in place of those set before."""
        with self._lock:
            self._wanted = set(hashes)
            self._awaited_by_others &= self._wanted

    def awaited_by_others(self) -> frozenset[str]:
        """Wanted shards that another volunteer has asked about, and so may be waiting for."""
        with self._lock:
            return frozenset(self._awaited_by_others)

    def knows(self, sha256: str) -> bool:
        """Whether this is a shard of one of the manifests."""
        return sha256 in self._num_bytes

    @contextlib.contextmanager
    def fetching(self, sha256: str) -> Iterator[None]:
        """Report a shard as FETCHING during the block."""
        with self._lock:
            self._fetching.add(sha256)
        try:
            yield
        finally:
            with self._lock:
                self._fetching.discard(sha256)

    def status(self, sha256: str) -> ShardStatus:
        """The answer to a volunteer with a lease; WANTED is remembered for `awaited_by_others`."""
        with self._lock:
            if sha256 not in self._num_bytes:
                return ShardStatus.REFUSED
            if self.path(sha256) is not None:
                return ShardStatus.AVAILABLE
            if sha256 in self._fetching:
                return ShardStatus.FETCHING
            if sha256 not in self._wanted:
                return ShardStatus.ABSENT
            self._awaited_by_others.add(sha256)
            return ShardStatus.WANTED

    def path(self, sha256: str) -> Path | None:
        """The complete file of a known shard, or None."""
        path = self._cache.file(sha256)
        try:
            return path if path.stat().st_size == self._num_bytes[sha256] else None
        except FileNotFoundError:
            return None

    def num_bytes(self, sha256: str) -> int:
        """Size of a known shard."""
        return self._num_bytes[sha256]
