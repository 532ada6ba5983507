"""Takes a shard from another volunteer that has it, or says whether to wait for one or to go to the Hub.

Whoever cannot be reached, stops in the middle, is too slow or breaks its word is left alone, each time in a row for
twice as long; whoever sent a whole file with another content is never asked again. A file whose parts came from several
is thrown away when its hash is wrong, and from then on no one goes on with what another began: then it is known whose
fault it is.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from paris.experts.files import file_sha256
from paris.node.fetching.cache import Cache
from paris.node.fetching.peers import Outcome
from paris.node.hub.file import Wanted
from paris.node.sharing.inventory import ShardBoard
from paris.node.sharing.members import Member
from paris.node.sharing.transfer import Patience, TooLateError, Transfer
from paris.node.sharing.trust import Troubles
from paris.node.swarm.connection import Swarm
from paris.protocol.dht.addresses import split_peer_address
from paris.protocol.errors import PeerError
from paris.protocol.shard_request import ShardStatus, seal_request
from paris.protocol.signing import Identity

if TYPE_CHECKING:
    from paris.protocol.dht.shards import ShardStream

_MAX_ASKED = 8
"""Of the members of a cluster, the first of the shard's ranking: all members agree on them."""
_LOOK_AROUND_S = 10.0
"""What is not needed soon waits so long: volunteers that begin together must first see each other."""


class _WrongBytesError(PeerError):
    """A peer alone sent a file with another content than the one it was asked for."""


@dataclass
class Taking:
    """The asking end for the shards of one manifest.

    Args:
        swarm: Through whose peer to ask.
        identity: Signs the questions.
        run_id: The run.
        board: Which shards there are.
        cache: Where to.
        members: The others that serve.
        serves: Whether this node does too, and so may be the one that goes to the Hub first.
        patience: With peers.
        clock: Seconds that only ever grow.
        rng: Draws the order of asking, so that not all ask the same peer first.
    """

    swarm: Swarm
    identity: Identity
    run_id: str
    board: ShardBoard
    cache: Cache
    members: Callable[[], tuple[Member, ...]]
    serves: Callable[[], bool]
    patience: Patience = field(default_factory=Patience)
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    _asked_for_patience: dict[str, set[Member]] = field(default_factory=dict)
    """Who, by shard."""
    _sender: dict[str, Member] = field(default_factory=dict)
    """From whom alone a part came, by shard."""
    _was_spoiled: bool = False
    """Whether a file whose parts came from several had a wrong hash."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._began_at = self.clock()
        self._troubles = Troubles(lambda: self.clock())

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """Take a shard from a peer, if one has it.

        Args:
            wanted: The shard.
            on_bytes: Told each piece that came; may wait, or raise to end it.
            left_s: Seconds until the shard should be here; infinite where it is not needed soon.

        Returns:
            "taken": it is in the cache, verified. "wait": somebody fetches it or is busy, or there is nobody yet; ask
            again. "hub": nobody has it in time, and it is for this node to get it.
        """
        if not self.board.knows(wanted.sha256):
            return "hub"
        members = self._troubles.honest(self.members())
        ranked = sorted(self._troubles.to_ask(members), key=lambda member: _rank(wanted.sha256, member.signer))
        asked = ranked[:_MAX_ASKED]
        transfer = Transfer(wanted, self.patience, self.clock, on_bytes, left_s)
        said: dict[Member, ShardStatus] = {}
        for member in self.rng.sample(asked, len(asked)):
            if left_s() <= 0:
                return "wait"
            try:
                said[member] = self._ask(member, transfer)
            except TooLateError:
                continue
            except _WrongBytesError:
                self._troubles.lied(member)
                continue
            except PeerError:
                self._troubles.had(member)
                continue
            if said[member] is ShardStatus.HERE:
                return "taken" if self.cache.file(wanted.sha256).exists() else "wait"
        if self._is_awaited(wanted.sha256, said) or (left_s() == math.inf and self._may_come(members)):
            return "wait"
        return "hub"

    def lose_patience(self, sha256: str) -> None:
        """Too long did peers say that they will have a shard: do without them."""
        with self._lock:
            stalling = self._asked_for_patience.pop(sha256, set())
        for member in stalling:
            self._troubles.had(member)

    def asked_for(self) -> Collection[str]:
        """Shards for which others may be waiting, as this node said that it wants them."""
        return self.board.asked_for()

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """While this node gets a shard from the Hub: others then wait for it."""
        return self.board.fetching(sha256)

    def want_no_more(self) -> None:
        """Nothing more is going to be fetched: nobody need wait for this node."""
        self.board.want(())

    def _is_awaited(self, sha256: str, said: dict[Member, ShardStatus]) -> bool:
        """Nobody gave the shard: whether somebody gets it or is busy, or another is the first of those who want it."""
        believed = {member: status for member, status in said.items() if self._troubles.is_believed(member)}
        awaited = {member for member, status in believed.items() if status in (ShardStatus.FETCHING, ShardStatus.BUSY)}
        wanting = [member for member, status in believed.items() if status is ShardStatus.WANTED]
        if not awaited and wanting:
            first = min(wanting, key=lambda member: _rank(sha256, member.signer))
            if not self.serves() or _rank(sha256, first.signer) < _rank(sha256, self.identity.public_key):
                awaited = {first}
        with self._lock:
            self._asked_for_patience[sha256] = awaited
        return bool(awaited)

    def _may_come(self, members: list[Member]) -> bool:
        """Whether somebody who serves may soon be there, or back, for one who does not serve."""
        if not members:
            return self.clock() - self._began_at < _LOOK_AROUND_S
        return not self.serves() and any(map(self._troubles.may_come_back, members))

    def _ask(self, member: Member, transfer: Transfer) -> ShardStatus:
        """What a member says; HERE after its bytes came.

        Raises:
            PeerError: It is not to be asked again for a while; for _WrongBytesError, ever; for TooLateError, now.
        """
        wanted = transfer.wanted
        part = self.cache.peer_part(wanted.sha256)
        offset = part.stat().st_size if part.exists() else 0
        is_spoilt = self._was_spoiled and self._sender.get(wanted.sha256) != member
        if offset >= wanted.num_bytes or is_spoilt:
            part.unlink(missing_ok=True)
            offset = 0
        stream = self._open(member, wanted.sha256, offset)
        try:
            if stream.status is ShardStatus.HERE:
                with self.board.fetching(wanted.sha256):
                    if offset == 0:
                        self._sender[wanted.sha256] = member
                    elif self._sender.get(wanted.sha256) != member:
                        self._sender.pop(wanted.sha256, None)
                    transfer.receive(stream, part, offset)
                    self._accept(wanted, part, is_alone=wanted.sha256 in self._sender)
                self._troubles.over(member)
            return stream.status
        finally:
            stream.close()

    def _open(self, member: Member, sha256: str, offset: int) -> ShardStream:
        """The first of a member's addresses that answers."""
        failure = PeerError(f"{member.signer[:12]}... has no address.")
        for address in member.addresses:
            _, peer_id = split_peer_address(address)
            question = seal_request(
                self.identity, run_id=self.run_id, to=peer_id, sha256=sha256, offset=offset, at=time.time()
            )
            try:
                return self.swarm.ask_for_shard(address, question, timeout_s=self.patience.answer_s)
            except PeerError as error:
                failure = error
        raise failure

    def _accept(self, wanted: Wanted, part: Path, *, is_alone: bool) -> None:
        """Move a whole part into the cache if it is what was signed; else it is gone."""
        if file_sha256(part) == wanted.sha256:
            self.cache.put(part, wanted.sha256)
            return
        part.unlink()
        if is_alone:
            raise _WrongBytesError(f"A peer sent other bytes than {wanted.path} has.")
        self._was_spoiled = True


def _rank(sha256: str, signer: str) -> str:
    """A member's place for a shard, the same for whoever computes it."""
    return hashlib.sha256(f"{sha256}{signer}".encode("ascii")).hexdigest()
