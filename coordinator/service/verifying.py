"""Processes that verify one submission after another: torch is imported once for many of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO, cast

from pydantic import ValidationError

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import VerificationCrashError, WorkerError
from paris.coordinator.verify import VerificationAnswer, VerificationRequest

_ENDED_FROM_OUTSIDE = (0, -signal.SIGINT, -signal.SIGTERM, -9)
"""9 is SIGKILL, which Windows does not name."""


class VerifyingProcesses:
    """As many processes as verifications at once; each is used again while it lives.

    Args:
        children: Starts them, and ends them with the service.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._idle: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def verify(self, request: VerificationRequest) -> None:
        """Let a process verify a case and write its report.

        Raises:
            WorkerError: It could not verify (the Hub was down, say), or was ended, by the system for its memory, say.
            VerificationCrashError: It broke down.
        """
        answer = None
        while answer is None:
            with self._lock:
                used = self._idle.pop() if self._idle else None
            child = used or self._children.spawn("verify", Program.VERIFY, answers=True)
            try:
                answer = _ask(child, request)
            except VerificationCrashError:
                child.kill()  # its next line may answer an earlier question
                child.wait()
                self._children.forget(child)
                raise
            if answer is not None:
                with self._lock:
                    self._idle.append(child)
                continue
            code = child.wait()
            last_line = self._children.forget(child)
            if used is None:  # one that was used before may have ended by itself, with nothing to do
                error = WorkerError if code in _ENDED_FROM_OUTSIDE else VerificationCrashError
                raise error(f"Verification ended with code {code}: {last_line or 'no output'}", "See verify.log.")
        if answer.exit_code != 0:
            raise WorkerError(
                f"Verification ended with code {answer.exit_code}: {answer.message}", f"See {request.log}"
            )


def _ask(child: subprocess.Popen[bytes], request: VerificationRequest) -> VerificationAnswer | None:
    """Ask a process; None when it has ended.

    Raises:
        VerificationCrashError: It answered with something else than an answer.
    """
    stdin, stdout = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
    with contextlib.suppress(OSError, ValueError):  # a pipe that breaks, or that the service's end has closed
        # Not through the buffer, whose rest would fail once more when it is closed.
        os.write(stdin.fileno(), request.model_dump_json().encode() + b"\n")
        line = stdout.readline()
        return _parsed(line) if line.endswith(b"\n") else None
    return None


def _parsed(line: bytes) -> VerificationAnswer:
    try:
        return VerificationAnswer.model_validate_json(line)
    except ValidationError as error:
        said = line[:200].decode("utf-8", "replace").strip()
        raise VerificationCrashError(
            f"Verification answered {said!r}, which is no answer.", "See verify.log."
        ) from error
