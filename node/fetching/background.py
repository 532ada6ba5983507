"""Fetching a task's shards in a thread, while the trainer already works on the first ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from paris.node.errors import StoppedError
from paris.node.fetching.fetcher import Fetcher
from paris.node.fetching.urgency import Urgency
from paris.node.hub.file import Wanted

_logger = logging.getLogger(__name__)


class BackgroundFetch:
    """A thread that fetches shards in the order in which training needs them.

    Args:
        fetcher: Fetches them.
        files: The shards, the first needed first.
        urgency: Says how many are needed soon; its `step` is set by the caller.
        on_ready: Called from the thread with the number of shards in the cache.
    """

    def __init__(
        self, fetcher: Fetcher, files: Sequence[Wanted], urgency: Urgency, on_ready: Callable[[int], None]
    ) -> None:
        self.fetcher, self.urgency = fetcher, urgency
        self._files, self._on_ready = files, on_ready
        self._first_is_ready = threading.Event()
        self._cancelled = threading.Event()
        self._error: BaseException | None = None
        self._num_ready = 0
        self._thread = threading.Thread(target=self._run, name="shards", daemon=True)

    def start(self) -> None:
        """Start fetching."""
        self._thread.start()

    @property
    def is_complete(self) -> bool:
        """Whether every shard is in the cache and verified."""
        return self._num_ready == len(self._files)

    def raise_error(self) -> None:
        """Raise the error that ended the fetch, if any.

        Raises:
            WrongHashError, HubRefusedError, HubUnreachableError, DiskFullError: As `Fetcher.fetch_all`.
        """
        if self._error is not None:
            raise self._error

    def wait_first(self, check: Callable[[], None]) -> None:
        """Wait until the first shard of the order is in the cache.

        Args:
            check: Called about twice a second; what it raises ends the wait.

        Raises:
            As `raise_error`.
        """
        while not self._first_is_ready.wait(0.5):
            check()
        self.raise_error()

    def cancel(self) -> None:
        """End the thread; parts stay on disk."""
        self._cancelled.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        try:
            self.fetcher.fetch_all(self._files, self._count, self._check, self.urgency.num_urgent)
        except BaseException as error:  # the thread's edge: the main thread raises it
            _logger.debug("The fetch of shards ended", exc_info=True)
            self._error = error
            self._first_is_ready.set()

    def _count(self, index: int, path: Path) -> None:
        self._num_ready += 1
        self._on_ready(self._num_ready)
        if index == 0:
            self._first_is_ready.set()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise StoppedError("Stopped.")
