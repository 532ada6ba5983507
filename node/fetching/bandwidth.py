"""How many bytes a second may pass: a token bucket that says how long to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_S = 1.0
"""Unused time up to so long may be made up for at once."""


class Bandwidth:
    """A limit that all transfers of one direction share; safe to use from any thread.

    Args:
        bytes_per_s: The limit; None for none.
        clock: Seconds that only ever grow.
    """

    def __init__(self, bytes_per_s: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._saved_bytes = 0.0
        self._looked_at = clock()

    def wait_s(self, num_bytes: int) -> float:
        """Count bytes, and say how long to wait so that the limit is kept.

        Args:
            num_bytes: Bytes that have just passed, or are about to.
        """
        if self.bytes_per_s is None:
            return 0.0
        with self._lock:
            now = self._clock()
            most = self.bytes_per_s * _BURST_S
            self._saved_bytes = min(most, self._saved_bytes + (now - self._looked_at) * self.bytes_per_s) - num_bytes
            self._looked_at = now
            return max(0.0, -self._saved_bytes / self.bytes_per_s)

    def piece_bytes(self, most: int) -> int:
        """How much to move between two waits: at most `most`, and no more than a second's worth."""
        return most if self.bytes_per_s is None else max(1, min(most, self.bytes_per_s))
