"""Keeps the output of a child process in a file of bounded size; neither a chatty child nor a full disk does harm."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
_MAX_BYTES = 4 << 20
_READ_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16
_TAIL_BYTES = 2000


class ChildOutput:
    """Copies a pipe into `path`; when the file is full, it becomes `path`.1 and replaces the one before.

    What cannot be written is dropped: the child never waits for the disk, and never fails by it.

    Args:
        pipe: The child's stdout or stderr; closed at its end.
        path: Appended to.
        max_bytes: Of one file.
    """

    def __init__(self, pipe: IO[bytes], path: Path, max_bytes: int = _MAX_BYTES) -> None:
        self._pipe, self._path, self._max_bytes = pipe, path, max_bytes
        self._is_failing = False
        self._head, self._tail = b"", b""
        self._thread = threading.Thread(target=self._copy, name=f"output of {path.stem}", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float = 5.0) -> None:
        """Wait for the rest of the output of a child that has ended."""
        self._thread.join(timeout_s)

    @property
    def beginning(self) -> str:
        """The first 64 KiB of what the child has written."""
        return self._head.decode("utf-8", "replace")

    @property
    def last_line(self) -> str:
        """The last line that the child has written; empty where it has written nothing."""
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _copy(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._pipe:  # a pipe that breaks has ended
            while data := self._pipe.read1(_READ_BYTES):  # type: ignore[attr-defined]
                self._head = (self._head + data)[:_HEAD_BYTES]
                self._tail = (self._tail + data)[-_TAIL_BYTES:]
                self._append(data)

    def _append(self, data: bytes) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size + len(data) > self._max_bytes:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab", buffering=0) as file:
                file.write(data)
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                logger.warning("%s cannot be written (%s); output is dropped.", self._path, error.strerror)
            self._is_failing = True
