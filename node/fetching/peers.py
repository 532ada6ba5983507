"""Other volunteers as a source of files: what `fetch.py` asks of them, and what it does where there are none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from paris.node.hub.file import Wanted

Outcome = Literal["taken", "wait", "hub"]
"""In the cache now; to be asked for again; to be had from the Hub."""


class Peers(Protocol):
    """Asked before the Hub (`paris.node.sharing.asking.Taking`)."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """Take a file, told piece by piece to `on_bytes`, if it comes within `left_s` (infinite: there is no hurry)."""

    def lose_patience(self, sha256: str) -> None:
        """Waiting for a file has lasted too long."""

    def asked_for(self) -> Collection[str]:
        """Files for which others wait until this node has them."""

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """While this node gets a file from the Hub."""

    def want_no_more(self) -> None:
        """Nothing more is going to be fetched."""


class NoPeers:
    """The Hub alone."""

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        """From the Hub."""
        return "hub"

    def lose_patience(self, sha256: str) -> None:
        """Never comes to that."""

    def asked_for(self) -> Collection[str]:
        """By nobody."""
        return ()

    def fetching(self, sha256: str) -> AbstractContextManager[None]:
        """Nobody hears of it."""
        return contextlib.nullcontext()

    def want_no_more(self) -> None:
        """Nobody hears of it."""
