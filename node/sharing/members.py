"""Who serves the shards of a cluster, and who may ask for them: read from the DHT, cached for some seconds.

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
from paris.protocol.addresses import CIRCUIT
from paris.protocol.work_records import Holding, Lease

_CACHED_S = 10.0
_LOOK_AGAIN_S, _LOOK_FOR_FIRST_S = 2.0, 0.5
"""For who serves: volunteers that begin at the same time must soon see each other."""
_LOOK_FOR_LEASE_S = 0.5
"""For a key without a known lease: one may just have been granted."""
T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A volunteer that announced that it serves."""

    signer: str
    addresses: tuple[str, ...]


class Members:
    """The volunteers of a run that hold a lease or serve shards. Safe to use from several threads.

    Args:
        swarm: Gives the records.
        me: This node's public key.
        clock: Monotonic seconds.
    """

    def __init__(self, swarm: Swarm, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._swarm, self._me, self._clock = swarm, me, clock
        self._seen_holders: frozenset[str] = frozenset()
        self._holders: _Cached[frozenset[str]] = _Cached(self._read_holders, clock)
        self._seen_serving: dict[tuple[int, str], tuple[Member, ...]] = {}
        self._serving: dict[tuple[int, str], _Cached[tuple[Member, ...]]] = {}
        self._lock = threading.Lock()

    def has_lease(self, public_key: str) -> bool:
        """Whether the coordinator gave this key a lease of the run, now or earlier."""
        return public_key in self._holders.get(_CACHED_S) or public_key in self._holders.get(_LOOK_FOR_LEASE_S)

    def serving(self, cluster: int, manifest_sha256: str) -> tuple[Member, ...]:
        """The others that serve the shards of this manifest.

        Args:
            cluster: The cluster.
            manifest_sha256: Its manifest.
        """
        with self._lock:
            cached = self._serving.setdefault(
                (cluster, manifest_sha256), _Cached(lambda: self._read_serving(cluster, manifest_sha256), self._clock)
            )
        return cached.get(_LOOK_AGAIN_S) or cached.get(_LOOK_FOR_FIRST_S)

    def _read_holders(self) -> frozenset[str]:
        leases = (envelope.payload for envelope in self._swarm.read("lease"))
        self._seen_holders |= {lease.volunteer for lease in leases if isinstance(lease, Lease)}
        return self._seen_holders

    def _read_serving(self, cluster: int, manifest_sha256: str) -> tuple[Member, ...]:
        members = []
        for envelope in self._swarm.read("holding", cluster):
            holding = envelope.payload
            if not isinstance(holding, Holding) or holding.manifest_sha256 != manifest_sha256:
                continue
            if envelope.signer == self._me:
                continue
            addresses = usable(holding.addresses, self._swarm.initial_peers)
            if addresses and self.has_lease(envelope.signer):
                members.append(Member(envelope.signer, addresses))
        with self._lock:  # one read of a DHT may miss records
            key = (cluster, manifest_sha256)
            self._seen_serving[key] = tuple(members) or self._seen_serving.get(key, ())
            return self._seen_serving[key]


class _Cached(Generic[T]):
    """A value that is read again when it is too old.

    Args:
        read: Reads it.
        clock: Monotonic seconds.
    """

    def __init__(self, read: Callable[[], T], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at = 0.0

    def get(self, max_age_s: float) -> T:
        """The value, at most `max_age_s` old."""
        with self._lock:
            if self._value is None or self._clock() - self._read_at >= max_age_s:
                self._value = self._read()
                self._read_at = self._clock()
            return self._value


def usable(addresses: Iterable[str], initial_peers: Iterable[str]) -> tuple[str, ...]:
    """Addresses that others in this run may dial.

    In a run on the internet those are public addresses alone: records of strangers must not make this machine dial
    into its own network, and its private addresses are not published. Relays are the run's own peers alone.

    Args:
        addresses: Full multiaddrs.
        initial_peers: The run's; one public address makes it a run on the internet.
    """
    initial_peers = tuple(initial_peers)
    is_public = any(_is_global(address) for address in initial_peers)
    return tuple(
        address
        for address in addresses
        if (_is_plain(address) or _relay_of(address) in initial_peers) and (_is_global(address) or not is_public)
    )


def _relay_of(address: str) -> str | None:
    """The address of the relay that another one leads through; None if it leads through none."""
    relay, mark, _ = address.partition(f"{CIRCUIT}/p2p/")
    return relay if mark else None


def _is_plain(address: str) -> bool:
    """Whether the address has the form `/ip4/HOST/tcp/PORT/p2p/ID`."""
    parts = address.split("/")
    return len(parts) == 7 and parts[1] in ("ip4", "ip6") and (parts[3], parts[5]) == ("tcp", "p2p")


def _is_global(address: str) -> bool:
    """Whether a multiaddr is public; DNS names count as public."""
    parts = address.split("/")
    try:
        return parts[1] not in ("ip4", "ip6") or ipaddress.ip_address(parts[2]).is_global
    except (IndexError, ValueError):
        return False
