"""What a download asks of other volunteers, and the stand-in for a node that has none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from paris.node.hub.file import Wanted

Outcome = Literal["taken", "wait", "hub"]
"""The file is in the cache; ask again later; get it from the Hub."""


class Peers(Protocol):
    """Other volunteers as a source of files (`paris.node.sharing.asking.PeerSource`)."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """Fetch a file from a peer if it can arrive within `left_s`.

        Args:
            wanted: The file.
            on_bytes: Called with the size of each piece; may wait, or raise to end the transfer.
            left_s: Seconds until the file is needed; infinite while it is not needed soon.
        """

    def lose_patience(self, sha256: str) -> None:
        """Stop waiting for the peers that promised this file."""

    def awaited_by_others(self) -> Collection[str]:
        """Hashes that other volunteers may wait for, because this node announced that it wants them."""

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """Announce, during the block, that this node is fetching a file from the Hub."""

    def finish(self) -> None:
        """Announce that this node wants no more files."""


class NoPeers:
    """The Hub is the only source."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """Always "hub"."""
        return "hub"

    def lose_patience(self, sha256: str) -> None:
        """No-op."""

    def awaited_by_others(self) -> Collection[str]:
        """Always empty."""
        return ()

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """No-op."""
        return contextlib.nullcontext()

    def finish(self) -> None:
        """No-op."""
