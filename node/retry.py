"""Bounded back-off, interruptible waits, and retries of Hub requests."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from paris.node.errors import HubUnreachableError, StoppedError, TransientHubError

_logger = logging.getLogger(__name__)
T = TypeVar("T")
LONGEST_WAIT_S = 120.0
"""Between two tries while the Hub is out of reach for hours."""


@dataclass(frozen=True)
class Backoff:
    """Exponential back-off with jitter.

    The n-th wait is drawn from [1/2, 1] * first_s * 2^(n - 1), capped, and is at least the server's Retry-After (itself
    capped, so that a server cannot put a node to sleep for a year).
    """

    first_s: float = 0.5
    cap_s: float = 30.0
    retry_after_cap_s: float = 300.0
    rng: random.Random = field(default_factory=random.Random)

    def wait_s(self, num_failures: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after so many failures in a row (1 or more)."""
        whole = min(self.cap_s, self.first_s * 2.0 ** min(num_failures - 1, 30))
        wait = whole * (0.5 + 0.5 * self.rng.random())
        return max(wait, min(retry_after_s or 0.0, self.retry_after_cap_s))


class StopSignal:
    """The volunteer's request to stop; every wait of the node can be interrupted by it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Request the stop; safe in a signal handler."""
        self._event.set()

    def clear(self) -> None:
        """Withdraw the request, for what is still to be done before the end."""
        self._event.clear()

    @property
    def is_set(self) -> bool:
        """Whether the stop was requested."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the stop, at most `seconds`; True if stopped."""
        return self._event.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait `seconds`.

        Raises:
            StoppedError: The stop came first.
        """
        if self._event.wait(seconds):
            raise StoppedError("Stopped.", "Run the same command again to continue.")


Wait = Callable[[float], None]
"""Waits so many seconds or raises StoppedError, as `StopSignal.pause`."""


def persist(
    action: Callable[[], T],
    *,
    pause: Wait,
    backoff: Backoff,
    max_tries: int | None = None,
    on_wait: Callable[[TransientHubError, float], None] = lambda error, wait_s: None,
) -> T:
    """Repeat a request to the Hub through transient errors.

    Args:
        action: Safe to repeat; raises TransientHubError if a later try may work.
        pause: Waits, or raises StoppedError.
        backoff: Times between tries.
        max_tries: None: no limit.
        on_wait: Called with the error and the seconds until the next try.

    Raises:
        HubUnreachableError: `max_tries` tries failed.
    """
    failures = 0
    while True:
        try:
            return action()
        except TransientHubError as error:
            failures += 1
            _logger.debug("Try %d failed", failures, exc_info=True)
            if max_tries is not None and failures >= max_tries:
                raise HubUnreachableError(
                    f"{failures} tries failed. Last: {error.what}",
                    "Check the network and the run's Hub; run the same command again.",
                ) from error
            wait_s = backoff.wait_s(failures, error.retry_after_s)
            on_wait(error, wait_s)
            pause(wait_s)
