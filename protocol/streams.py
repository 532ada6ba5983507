"""Standard streams that never stop the program: closed, full, stalled or broken, they are dropped and work goes on.

    protect_streams()   first in `main`; everything that prints, rich and logging included, then goes through here
    require_stdout()    in a command whose work is what it prints: its stdout may stall it, and fail

The first text that cannot be written is a warning in the log.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import select
import sys
import threading
from typing import TextIO, cast

from paris.protocol.secrets import redact

logger = logging.getLogger(__name__)
_STALL_S = 5.0
_CHUNK_BYTES = 512
"""POSIX's smallest PIPE_BUF: a pipe that polls as writable takes so many bytes without blocking."""


class SafeStream(io.TextIOBase):
    """A text stream over a file descriptor; `write` never raises, and blocks for a few seconds at most.

    Characters outside the encoding are written as escapes. Nothing is buffered.

    Args:
        descriptor: None discards everything.
        name: "stdout" or "stderr", for messages.
        encoding: Of the text.
    """

    def __init__(self, descriptor: int | None, name: str, encoding: str = "utf-8") -> None:
        self._descriptor, self._name, self._encoding = descriptor, name, encoding
        self.is_needed = False
        """Whether `write` may block without limit and raise."""
        self.error: OSError | None = None
        """Why the stream was dropped."""
        self._is_stalled = False
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the text."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How characters outside the encoding are written."""
        return "backslashreplace"

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            OSError: There is none.
        """
        if self._descriptor is None:
            raise OSError(errno.EBADF, f"{self._name} is closed")
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def writable(self) -> bool:
        """True: a text that cannot be written is dropped."""
        return True

    def write(self, text: str) -> int:
        """Write a text without secrets, or drop it; errors as of `write_with_secrets`."""
        self.write_with_secrets(redact(text))
        return len(text)

    def write_with_secrets(self, text: str) -> None:
        """Write a text as it is, or drop it.

        Raises:
            OSError: Only if `is_needed`: it cannot be written.
            SystemExit: Only if `is_needed`: the reader left early, as `head` does, and wants no more.
        """
        data = text.encode(self._encoding, self.errors)
        with self._lock:
            if self._descriptor is not None and self.error is None:
                try:
                    self._write(self._descriptor, data)
                except OSError as error:
                    self._drop(error)
                    if self.is_needed and error.errno == errno.EPIPE:
                        raise SystemExit(0) from error
                    if self.is_needed:
                        raise OSError(error.errno, error.strerror, self._name) from error

    def flush(self) -> None:
        """No-op: nothing is buffered."""

    def close(self) -> None:
        """No-op: the descriptor belongs to the process."""

    def _write(self, descriptor: int, data: bytes) -> None:
        while data:
            if not self.is_needed and not self._is_ready(descriptor):
                return
            try:
                data = data[os.write(descriptor, data if self.is_needed else data[:_CHUNK_BYTES]) :]
            except BlockingIOError:  # another process set the descriptor to O_NONBLOCK
                if not self.is_needed:
                    return
                select.select([], [descriptor], [])

    def _is_ready(self, descriptor: int) -> bool:
        """Whether a write would not block. A stream that stalled once is not waited for again until it moves."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        is_ready = bool(poll.poll(0 if self._is_stalled else _STALL_S * 1000))
        if is_ready == self._is_stalled:
            self._is_stalled = not is_ready
            if self._is_stalled:
                logger.warning("Nothing reads %s; texts are left out until something does.", self._name)
        return is_ready

    def _drop(self, error: OSError) -> None:
        # Set first: the handler of stderr's own log lines writes here again.
        self.error = error
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # children inherit the descriptor
                _point_to_nothing(self._descriptor)
        logger.warning("%s cannot be written (%s); it is dropped, work goes on.", self._name, error.strerror)


def protect_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that never stop the program. Call first in `main`."""
    _open_closed_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, SafeStream):
            continue
        encoding = "utf-8" if stream is None else stream.encoding or "utf-8"
        safe = SafeStream(_descriptor_of(stream), name, encoding)
        setattr(sys, name, cast(TextIO, safe))


def require_stdout() -> None:
    """Let stdout stall the command and fail it: what it prints is its work."""
    if isinstance(sys.stdout, SafeStream):
        sys.stdout.is_needed = True


def _descriptor_of(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _open_closed_descriptors() -> None:
    """Give 0, 1 and 2 to /dev/null where they are closed: the next file opened would get the number, and the prints."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _point_to_nothing(descriptor)


def _point_to_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != descriptor:
        os.dup2(nothing, descriptor)
        os.close(nothing)


def show_secret(text: str, stream: TextIO) -> None:
    """Print a line with a secret that the user is to read here, such as a page's address with its token.

    Args:
        text: The line.
        stream: sys.stdout or sys.stderr, which leave out secrets from what else is printed.
    """
    if isinstance(stream, SafeStream):
        stream.write_with_secrets(f"{text}\n")
    else:
        print(text, file=stream, flush=True)
