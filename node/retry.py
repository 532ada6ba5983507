"""One bounded back-off for everything that may fail for a while."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from paris.node.errors import HubUnreachableError, StoppedError, TransientHubError

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How long to wait before try n.

    The n-th wait is drawn from [half, whole] of first_s * 2^n, capped, and never shorter than what the server
    asked for by Retry-After (itself capped, so that nobody can put a node to sleep for a year).
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
    """The volunteer's wish to stop, as something that every wait of the node listens to."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the stop; may be called from a signal handler."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the stop was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the stop; True when stopped."""
        return self._event.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            StoppedError: The stop came first.
        """
        if self._event.wait(seconds):
            raise StoppedError("Stopped.", "Run the same command again to go on.")


Wait = Callable[[float], None]
"""Something that waits so many seconds, or raises StoppedError: `StopSignal.pause`, or a recorder in tests."""


def persist(
    action: Callable[[], T],
    *,
    pause: Wait,
    backoff: Backoff,
    max_tries: int | None = None,
    on_wait: Callable[[TransientHubError, float], None] = lambda error, wait_s: None,
) -> T:
    """Do something on the Hub, again and again while its trouble may pass.

    Args:
        action: Safe to repeat; raises TransientHubError when repeating may help.
        pause: Waits, or raises StoppedError.
        backoff: Times between tries.
        max_tries: None tries until it works.
        on_wait: Told the trouble and the seconds until the next try.

    Raises:
        HubUnreachableError: It did not work so many times.
    """
    failures = 0
    while True:
        try:
            return action()
        except TransientHubError as error:
            failures += 1
            if max_tries is not None and failures >= max_tries:
                raise HubUnreachableError(
                    f"{failures} tries failed. Last: {error.what}",
                    "Check the network and the run's Hub; run the same command again.",
                ) from error
            wait_s = backoff.wait_s(failures, error.retry_after_s)
            on_wait(error, wait_s)
            pause(wait_s)
