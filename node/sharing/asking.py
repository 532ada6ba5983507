"""Takes a shard from another volunteer, or says whether to wait for one or to use the Hub.

A peer that is unreachable, stops in the middle, is too slow or breaks a promise is left alone, twice as long each time;
a peer that sent a whole file with a wrong hash is never asked again (`trust.py`, `parts.py`).
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from paris.node.fetching.cache import Cache
from paris.node.fetching.peers import Outcome
from paris.node.hub.file import Wanted
from paris.node.sharing.inventory import Inventory
from paris.node.sharing.members import Member
from paris.node.sharing.parts import PeerParts, WrongBytesError
from paris.node.sharing.transfer import Patience, TooLateError, Transfer
from paris.node.sharing.trust import Trust
from paris.node.swarm.connection import Swarm
from paris.protocol.addresses import split_peer_address
from paris.protocol.errors import PeerError
from paris.protocol.run_peer import ShardAnswer
from paris.protocol.shard_request import ShardStatus, seal_request
from paris.protocol.signing import Identity

_logger = logging.getLogger(__name__)
_MAX_ASKED = 8
"""Of the members of a cluster, the first in the shard's ranking: all members agree on them."""
_LOOK_AROUND_S = 10.0
"""Files that are not urgent wait so long at the start: volunteers that begin together must first see each other."""


@dataclass(frozen=True)
class Asker:
    """Sends signed requests for shards.

    Args:
        swarm: Its DHT peer carries them.
        identity: Signs them.
        run_id: The run.
    """

    swarm: Swarm
    identity: Identity
    run_id: str

    def ask(self, member: Member, sha256: str, offset: int, timeout_s: float) -> ShardAnswer:
        """Ask at each of a member's addresses until one answers.

        Raises:
            PeerError: None answers.
        """
        failure = PeerError(f"{member.signer[:12]}... has no address.")
        for address in member.addresses:
            _, peer_id = split_peer_address(address)
            request = seal_request(
                self.identity, run_id=self.run_id, to=peer_id, sha256=sha256, offset=offset, at=time.time()
            )
            try:
                return self.swarm.request_shard(address, request, timeout_s=timeout_s)
            except PeerError as error:
                failure = error
        raise failure


class PeerSource:
    """Other volunteers as a source of the shards of one manifest (`paris.node.fetching.peers.Peers`).

    Args:
        asker: Sends the requests.
        inventory: This node's shards.
        cache: Receives them.
        members: The other volunteers that serve them.
        serves: Whether this node serves too, and so may be the one that goes to the Hub first.
        patience: With peers.
        clock: Monotonic seconds.
        rng: Draws the order of asking, so that not all ask the same peer first.
    """

    def __init__(
        self,
        asker: Asker,
        inventory: Inventory,
        cache: Cache,
        *,
        members: Callable[[], tuple[Member, ...]],
        serves: Callable[[], bool],
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._asker, self._inventory, self._cache = asker, inventory, cache
        self.members, self._serves = members, serves
        self.patience, self.clock, self.rng = patience or Patience(), clock, rng or random.Random()
        self._parts = PeerParts(cache)
        self._trust = Trust(lambda: self.clock())
        self._promised_by: dict[str, set[Member]] = {}
        """By hash: the members that this node waits for."""
        self._lock = threading.Lock()
        self._began_at = clock()

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """Take a shard from a peer that has it.

        Args:
            wanted: The shard.
            on_bytes: Called with the size of each piece; may wait, or raise to end the transfer.
            left_s: Seconds until the shard is needed; infinite while it is not needed soon.

        Returns:
            "taken": it is in the cache, verified. "wait": a peer fetches it or is busy, or no peer is known yet; ask
            again. "hub": no peer has it in time, and this node is the one to get it.
        """
        if not self._inventory.knows(wanted.sha256):
            return "hub"
        members = self._trust.not_banned(self.members())
        ranked = sorted(self._trust.available(members), key=lambda member: _rank(wanted.sha256, member.signer))
        asked = ranked[:_MAX_ASKED]
        transfer = Transfer(wanted, self.patience, self.clock, on_bytes, left_s)
        answers: dict[Member, ShardStatus] = {}
        for member in self.rng.sample(asked, len(asked)):
            if left_s() <= 0:
                return "wait"
            try:
                answers[member] = self._take_from(member, transfer)
            except TooLateError as error:
                _logger.debug("%s", error)
                continue
            except WrongBytesError as error:
                _logger.info("%s... is never asked again: %s", member.signer[:12], error)
                self._trust.ban(member)
                continue
            except PeerError as error:
                _logger.debug("%s... is left alone for a while: %s", member.signer[:12], error)
                self._trust.failed(member)
                continue
            if answers[member] is ShardStatus.AVAILABLE:
                return "taken" if self._cache.file(wanted.sha256).exists() else "wait"
        if self._is_promised(wanted.sha256, answers) or (left_s() == math.inf and self._may_come(members)):
            return "wait"
        return "hub"

    def lose_patience(self, sha256: str) -> None:
        """Leave the peers alone that promised a shard for too long."""
        with self._lock:
            stalling = self._promised_by.pop(sha256, set())
        for member in stalling:
            self._trust.failed(member)

    def awaited_by_others(self) -> Collection[str]:
        """Hashes that others may wait for, because this node answered WANTED."""
        return self._inventory.awaited_by_others()

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """Answer FETCHING during the block, so that others wait for this node's copy."""
        return self._inventory.fetching(sha256)

    def finish(self) -> None:
        """Answer ABSENT for what is missing, so that nobody waits for this node."""
        self._inventory.want(())

    def _take_from(self, member: Member, transfer: Transfer) -> ShardStatus:
        """A member's answer; HERE after its bytes came.

        Raises:
            WrongBytesError: Ban the member.
            TooLateError: The member is not at fault.
            PeerError: Leave the member alone for a while.
        """
        wanted = transfer.wanted
        offset = self._parts.offset(wanted, member)
        stream = self._asker.ask(member, wanted.sha256, offset, self.patience.answer_s)
        try:
            if stream.status is ShardStatus.AVAILABLE:
                with self._inventory.fetching(wanted.sha256):
                    transfer.receive(stream, self._parts.begin(wanted, member, offset), offset)
                    self._parts.complete(wanted)
                self._trust.succeeded(member)
            return stream.status
        finally:
            stream.close()

    def _is_promised(self, sha256: str, answers: dict[Member, ShardStatus]) -> bool:
        """Whether a peer is fetching the shard or is busy, or ranks first among those that want it."""
        believed = {member: status for member, status in answers.items() if self._trust.is_believed(member)}
        promised = {member for member, status in believed.items() if status in (ShardStatus.FETCHING, ShardStatus.BUSY)}
        wanting = [member for member, status in believed.items() if status is ShardStatus.WANTED]
        if not promised and wanting:
            first = min(wanting, key=lambda member: _rank(sha256, member.signer))
            if not self._serves() or _rank(sha256, first.signer) < _rank(sha256, self._asker.identity.public_key):
                promised = {first}
        with self._lock:
            self._promised_by[sha256] = promised
        return bool(promised)

    def _may_come(self, members: list[Member]) -> bool:
        """Whether a serving peer may soon appear, or return to a node that does not serve."""
        if not members:
            return self.clock() - self._began_at < _LOOK_AROUND_S
        return not self._serves() and any(map(self._trust.may_return, members))


def _rank(sha256: str, signer: str) -> str:
    """Sort key of a member for a shard; every node computes the same."""
    return hashlib.sha256(f"{sha256}{signer}".encode("ascii")).hexdigest()
