"""What a way between this node and the coordinator is: it carries sealed records, and decides nothing by them."""

from __future__ import annotations

from typing import Any, Protocol

from paris.protocol.envelope import Envelope
from paris.protocol.outcome import Outcome

KEPT_THERE = ("submission", "answer", "audit")
"""Kinds that the coordinator keeps on its disk. One that says that it is full may have lost its database, and another
may lead by now: so these are sent elsewhere too."""


class Way(Protocol):
    """One way between this node and the coordinator. Its methods may be called from several threads."""

    name: str
    """For the log."""

    look_s: float
    """Seconds between two reads that are worth it."""

    @property
    def place(self) -> int | None:
        """Where this node stands among those that wait for a task, as it was told last; None: it was not told."""

    @property
    def is_up(self) -> bool:
        """Whether the other end answered lately."""

    def publish(self, envelope: Envelope[Any]) -> Outcome:
        """Carry a record of this node to the coordinator. Never raises on network errors.

        Returns:
            What became of it; UNANSWERED where this way does not carry it now, so that another may be tried.
        """

    def read(self, kind: str) -> list[Envelope[Any]] | None:
        """The coordinator's verified records of a kind that concern this node; those of others may be among them.

        Args:
            kind: "run", "summary", "task", "lease", "challenge" or "verdict".

        Returns:
            None where this way does not answer now, so that another may be tried. An empty list proves nothing.
        """
