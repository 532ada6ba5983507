"""Shards arrive while the trainer already works on the first ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from paris.node.errors import StoppedError
from paris.node.fetching.fetcher import Fetcher
from paris.node.fetching.urgency import Needs
from paris.node.hub.file import Wanted


class BackgroundFetch:
    """A thread that fetches a task's shards in the order in which they are needed.

    Args:
        fetcher: Does the work.
        files: The shards, the first needed first.
        needs: Told by others how far the training is; says which of the shards are needed soon.
        on_ready: Called from the thread with the number of shards that are here.
    """

    def __init__(
        self, fetcher: Fetcher, files: Sequence[Wanted], needs: Needs, on_ready: Callable[[int], None]
    ) -> None:
        self._fetcher, self._files, self._on_ready = fetcher, files, on_ready
        self.needs = needs
        self._first = threading.Event()
        self._cancelled = threading.Event()
        self._error: BaseException | None = None
        self._num_ready = 0
        self._thread = threading.Thread(target=self._run, name="shards", daemon=True)

    def start(self) -> None:
        """Start fetching."""
        self._thread.start()

    @property
    def is_complete(self) -> bool:
        """Whether every shard is here and verified."""
        return self._num_ready == len(self._files)

    def raise_error(self) -> None:
        """Pass on what ended the fetch, if something did.

        Raises:
            WrongHashError, HubRefusedError, HubUnreachableError, DiskFullError: As `Fetcher.fetch_all`.
        """
        if self._error is not None:
            raise self._error

    def wait_first(self, check: Callable[[], None]) -> None:
        """Wait until the first shard of the order is here.

        Args:
            check: Called about twice a second; what it raises is passed on.

        Raises:
            As `raise_error`.
        """
        while not self._first.wait(0.5):
            check()
        self.raise_error()

    def cancel(self) -> None:
        """End the thread; parts stay on disk."""
        self._cancelled.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        try:
            self._fetcher.fetch_all(self._files, self._ready, self._check, self.needs.num_urgent)
        except BaseException as error:  # the thread's edge: handed to the main thread, which raises it
            self._error = error
            self._first.set()

    def _ready(self, index: int, path: Path) -> None:
        self._num_ready += 1
        self._on_ready(self._num_ready)
        if index == 0:
            self._first.set()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise StoppedError("Stopped.")
