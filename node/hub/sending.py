"""How much of an upload has gone out, over all of its tries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from paris.protocol.clock import Clock

_TELL_EVERY_S = 2.0
_SAMPLE_BYTES = 512
"""The Hub's client sends so much of a file before it asks whether the Hub has it already."""


class Sending:
    """Counts the bytes of an upload's files; the threads that send call it.

    A try begins with the files that went out whole before: the Hub keeps those. Of another file all bytes go out again.

    Args:
        tell: Called every two seconds, and where a later try begins, with the bytes that are out and the bytes a second
            since the last call.
        steady: Seconds that only grow.
    """

    def __init__(self, tell: Callable[[int, float], None], steady: Clock = time.monotonic) -> None:
        self._tell, self._steady = tell, steady
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._out: dict[str, int] = {}
        self._told_at, self._told_bytes = 0.0, 0

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Begin a try.

        Args:
            sizes: Bytes of each file, by its path in the repo.
        """
        with self._lock:
            self._out = {path: out for path, out in self._out.items() if out == self._sizes.get(path)}
            self._sizes = dict(sizes)
            self._told_at, self._told_bytes = self._steady(), sum(self._out.values())
            out = self._told_bytes
        if out:
            self._tell(out, 0.0)

    def reached(self, path: str, position: int) -> None:
        """Take note that a file is read up to a position, in bytes."""
        with self._lock:
            if position <= _SAMPLE_BYTES:
                return
            self._out[path] = position
            out, passed_s = sum(self._out.values()), self._steady() - self._told_at
            if passed_s < _TELL_EVERY_S:
                return
            speed = max(0.0, (out - self._told_bytes) / passed_s)
            self._told_at, self._told_bytes = self._told_at + passed_s, out
        self._tell(out, speed)
