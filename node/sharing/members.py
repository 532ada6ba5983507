"""Who serves the shards of a cluster, and who may ask for them: read from the DHT, kept for some seconds.

Only keys to which the coordinator gave a lease of this run count on either side: identities are free, leases are not.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from paris.node.swarm.connection import Swarm
from paris.protocol.records import Holding, Lease

_KEPT_S = 10.0
_LOOK_AGAIN_S, _LOOK_FOR_FIRST_S = 2.0, 0.5
"""For who serves: volunteers that begin at the same time should soon see each other."""
_LOOK_FOR_LEASE_S = 0.5
"""For a key without a lease that is known: it may just have been granted."""
T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A volunteer that says it serves."""

    signer: str
    addresses: tuple[str, ...]


class Members:
    """The volunteers of a run, as far as sharing asks for them; safe to use from any thread.

    Args:
        swarm: Where to read.
        me: This node's public key.
        clock: Seconds that only ever grow.
    """

    def __init__(self, swarm: Swarm, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._swarm, self._me, self._clock = swarm, me, clock
        self._seen_holders: frozenset[str] = frozenset()
        self._holders: _Kept[frozenset[str]] = _Kept(self._read_holders, clock)
        self._seen_serving: dict[tuple[int, str], tuple[Member, ...]] = {}
        self._serving: dict[tuple[int, str], _Kept[tuple[Member, ...]]] = {}
        self._lock = threading.Lock()

    def has_lease(self, public_key: str) -> bool:
        """Whether the coordinator gave this key a lease of the run, now or some attempts ago."""
        return public_key in self._holders.get(_KEPT_S) or public_key in self._holders.get(_LOOK_FOR_LEASE_S)

    def serving(self, cluster: int, manifest_sha256: str) -> tuple[Member, ...]:
        """The others that serve the shards of this manifest.

        Args:
            cluster: The cluster.
            manifest_sha256: Its manifest.
        """
        with self._lock:
            kept = self._serving.setdefault(
                (cluster, manifest_sha256), _Kept(lambda: self._read_serving(cluster, manifest_sha256), self._clock)
            )
        return kept.get(_LOOK_AGAIN_S) or kept.get(_LOOK_FOR_FIRST_S)

    def _read_holders(self) -> frozenset[str]:
        leases = (envelope.payload for envelope in self._swarm.read("lease"))
        self._seen_holders |= {lease.volunteer for lease in leases if isinstance(lease, Lease)}
        return self._seen_holders

    def _read_serving(self, cluster: int, manifest_sha256: str) -> tuple[Member, ...]:
        found = []
        for envelope in self._swarm.read("holding", cluster):
            said = envelope.payload
            if not isinstance(said, Holding) or said.manifest_sha256 != manifest_sha256 or envelope.signer == self._me:
                continue
            addresses = usable(said.addresses, self._swarm.initial_peers)
            if addresses and self.has_lease(envelope.signer):
                found.append(Member(envelope.signer, addresses))
        with self._lock:  # one read that finds nothing proves nothing
            place = (cluster, manifest_sha256)
            self._seen_serving[place] = tuple(found) or self._seen_serving.get(place, ())
            return self._seen_serving[place]


class _Kept(Generic[T]):
    """A value that is read again when it is too old.

    Args:
        read: Reads it.
        clock: Seconds.
    """

    def __init__(self, read: Callable[[], T], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at = 0.0

    def get(self, max_age_s: float) -> T:
        """The value, not older than so."""
        with self._lock:
            if self._value is None or self._clock() - self._read_at >= max_age_s:
                self._value = self._read()
                self._read_at = self._clock()
            return self._value


def usable(addresses: Iterable[str], initial_peers: Iterable[str]) -> tuple[str, ...]:
    """Addresses that others in this run may dial.

    In a run on the internet that is the internet's alone: nobody makes this machine knock at doors of its own network,
    and nobody is told how it looks inside.

    Args:
        addresses: Full multiaddrs.
        initial_peers: The run's; one on the internet makes it a run on the internet.
    """
    is_public = any(_is_global(address) for address in initial_peers)
    return tuple(address for address in addresses if _is_plain(address) and (_is_global(address) or not is_public))


def _is_plain(address: str) -> bool:
    """Whether it reads `/ip4/HOST/tcp/PORT/p2p/ID`, as in a Holding."""
    parts = address.split("/")
    return len(parts) == 7 and parts[1] in ("ip4", "ip6") and (parts[3], parts[5]) == ("tcp", "p2p")


def _is_global(address: str) -> bool:
    """Whether a multiaddr leads to the open internet; a name does: nobody names machines of a private network."""
    parts = address.split("/")
    try:
        return parts[1] not in ("ip4", "ip6") or ipaddress.ip_address(parts[2]).is_global
    except (IndexError, ValueError):
        return False
