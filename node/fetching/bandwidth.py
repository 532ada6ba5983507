"""A limit in bytes per second: a token bucket that says how long to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_S = 1.0
"""The bucket holds so many seconds' worth of bytes."""


class Bandwidth:
    """A limit that all transfers of one direction share; safe to use from any thread.

    Args:
        bytes_per_s: The limit; None for none.
        clock: Monotonic seconds.
    """

    def __init__(self, bytes_per_s: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._saved_bytes = 0.0
        self._refilled_at = clock()

    def wait_s(self, num_bytes: int) -> float:
        """Count bytes, and return how many seconds to wait to keep the limit.

        Args:
            num_bytes: Bytes that have just passed, or are about to.
        """
        if self.bytes_per_s is None:
            return 0.0
        with self._lock:
            now = self._clock()
            capacity = self.bytes_per_s * _BURST_S
            refilled = self._saved_bytes + (now - self._refilled_at) * self.bytes_per_s
            self._saved_bytes = min(capacity, refilled) - num_bytes
            self._refilled_at = now
            return max(0.0, -self._saved_bytes / self.bytes_per_s)

    def piece_bytes(self, max_bytes: int) -> int:
        """How much to transfer between two waits: at most `max_bytes`, and at most one second's worth."""
        return max_bytes if self.bytes_per_s is None else max(1, min(max_bytes, self.bytes_per_s))
