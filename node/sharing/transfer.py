"""The bytes of one shard from a peer, and whether they come fast enough.

A peer that stops in the middle, pauses too long between two pieces or is too slow on average is at fault. A peer that
sends well is not, even if an urgent file would arrive too late: the file then comes from elsewhere, and its part stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paris.node.hub.file import Wanted
from paris.protocol.errors import PeerError
from paris.protocol.run_peer import ShardAnswer

_JUDGE_AFTER_S, _LAST_S = 2.0, 1.0
"""When an urgent transfer is judged by its speed, and the remaining time that it gets in any case."""
_PIECE_BYTES = 2**17


@dataclass(frozen=True)
class Patience:
    """How long a peer may take."""

    answer_s: float = 10.0
    """Until its answer, and between two pieces."""
    slow_bytes_per_s: float = 2**16
    """Minimum average speed, judged after `answer_s` of waiting."""


class TooLateError(PeerError):
    """A peer sends well, but the file is needed before it would be here."""


@dataclass(frozen=True)
class Transfer:
    """One shard that a peer may send.

    Args:
        wanted: The shard.
        patience: With the peer.
        clock: Monotonic seconds.
        on_bytes: Called with the size of each piece; may wait, or raise to end the transfer.
        left_s: Seconds until the shard is needed; infinite while it is not needed soon.
    """

    wanted: Wanted
    patience: Patience
    clock: Callable[[], float]
    on_bytes: Callable[[int], None]
    left_s: Callable[[], float]

    def receive(self, stream: ShardAnswer, part: Path, offset: int) -> None:
        """Append the stream to the part until it is complete; the content is not checked.

        Args:
            stream: A peer's answer HERE.
            part: Appended to; created if missing.
            offset: First byte that the peer was asked for.

        Raises:
            PeerError: The peer announced another size, stopped, or is too slow; the part stays.
            TooLateError: The shard would arrive too late.
        """
        left, waited_s, received = self.wanted.num_bytes - offset, 0.0, 0
        if stream.num_bytes != left:
            raise PeerError(f"A peer would send {stream.num_bytes} bytes of {self.wanted.path} instead of {left}.")
        with part.open("ab") as file:
            file.truncate(offset)
            while left > 0:
                began = self.clock()
                piece = stream.read(min(_PIECE_BYTES, left), timeout_s=self.patience.answer_s)
                waited_s += self.clock() - began
                if not piece:
                    raise PeerError(f"A peer stopped {left} bytes before the end of {self.wanted.path}.")
                file.write(piece)
                left, received = left - len(piece), received + len(piece)
                self.on_bytes(len(piece))
                if left > 0:
                    self._judge(left, waited_s, received)
            file.flush()
            os.fsync(file.fileno())

    def _judge(self, left: int, waited_s: float, received: int) -> None:
        """Raise if the transfer is too slow, or would end too late."""
        left_s = self.left_s()
        if waited_s > self.patience.answer_s and received < waited_s * self.patience.slow_bytes_per_s:
            raise PeerError(f"A peer sends {self.wanted.path} too slowly.")
        if left_s <= 0 or waited_s > _JUDGE_AFTER_S:
            ends_in_s = left * waited_s / received
            if ends_in_s > max(left_s, _LAST_S):
                raise TooLateError(f"A peer needs {ends_in_s:.0f} s more for {self.wanted.path}.")
