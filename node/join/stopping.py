"""The signals that ask a join to stop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from paris.node.retry import StopSignal
from paris.protocol.signals import stop_signals


@contextlib.contextmanager
def stopping(stop: StopSignal) -> Iterator[set[int]]:
    """SIGINT, SIGTERM and SIGHUP ask for a clean stop; a second SIGINT interrupts at once.

    Yields:
        The signals received so far.
    """
    received: set[int] = set()

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.add(number)
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, on_signal) for number in stop_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
