"""The run's pinned peers: the initial peers that its signed description names.

They hold every record, whichever peers are nearest to its key. Places cost little (`node_ids.py`): five peers of a
stranger beside a key would otherwise be all of its replicas, and could hide what is under it.
"""

from __future__ import annotations

import contextlib
import time

from hivemind.p2p import PeerID

from paris.protocol.addresses import split_peer_address
from paris.protocol.clock import Clock
from paris.protocol.errors import AddressError

_REST_S = 30.0
"""One that did not answer is left alone so long: each call to it may take the whole time limit."""


class PinnedPeers:
    """Which pinned peers to ask now.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._resting_until: dict[PeerID, float] = {}

    def awake(self, addresses: list[str]) -> list[PeerID]:
        """The peers at these addresses, without those that did not answer lately."""
        peers = dict.fromkeys(peer for address in addresses if (peer := peer_of(address)) is not None)
        return [peer for peer in peers if self._resting_until.get(peer, 0.0) <= self._clock()]

    def note(self, peer: PeerID, *, answered: bool) -> None:
        """Remember whether a peer answered."""
        if answered:
            self._resting_until.pop(peer, None)
        else:
            self._resting_until[peer] = self._clock() + _REST_S


def peer_of(address: str) -> PeerID | None:
    """The peer at a full multiaddr; None if it is none."""
    with contextlib.suppress(AddressError, ValueError):
        return PeerID.from_base58(split_peer_address(address)[1])
    return None  # the volunteer typed it, or an organiser's older software published it
