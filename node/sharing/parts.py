"""Partial downloads from peers, and which peer is to blame when a complete one has a wrong hash."""

from __future__ import annotations

from pathlib import Path

from paris.experts.files import file_sha256
from paris.node.fetching.cache import Cache
from paris.node.hub.file import Wanted
from paris.node.sharing.members import Member
from paris.protocol.errors import PeerError


class WrongBytesError(PeerError):
    """One peer alone sent a whole file with a wrong hash."""


class PeerParts:
    """The `.peer` files of the cache.

    A part may be continued by another peer than the one that began it. Once such a part had a wrong hash, so that no
    single peer could be blamed, every part is continued only by the peer that began it.

    Args:
        cache: Holds the parts, and receives complete files.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._only_sender: dict[str, Member] = {}
        """By hash: the member that sent all of a part."""
        self._had_mixed_wrong_hash = False

    def offset(self, wanted: Wanted, member: Member) -> int:
        """From which byte to ask a member for a file; a part that it may not continue is removed."""
        part = self._cache.peer_part(wanted.sha256)
        offset = part.stat().st_size if part.exists() else 0
        is_foreign = self._had_mixed_wrong_hash and self._only_sender.get(wanted.sha256) != member
        if offset >= wanted.num_bytes or is_foreign:
            part.unlink(missing_ok=True)
            return 0
        return offset

    def begin(self, wanted: Wanted, member: Member, offset: int) -> Path:
        """Note that a member sends from an offset on; the path to append to."""
        if offset == 0:
            self._only_sender[wanted.sha256] = member
        elif self._only_sender.get(wanted.sha256) != member:
            self._only_sender.pop(wanted.sha256, None)
        return self._cache.peer_part(wanted.sha256)

    def complete(self, wanted: Wanted) -> None:
        """Move a complete part into the cache; one with a wrong hash is removed.

        Raises:
            WrongBytesError: The hash is wrong, and one member sent all of it.
        """
        part = self._cache.peer_part(wanted.sha256)
        if file_sha256(part) == wanted.sha256:
            self._cache.put(part, wanted.sha256)
            return
        part.unlink()
        if wanted.sha256 in self._only_sender:
            raise WrongBytesError(f"A peer sent wrong bytes of {wanted.path}.")
        self._had_mixed_wrong_hash = True
