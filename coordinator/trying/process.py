"""The process that holds the model, seen from the page's: loaded once, one picture at a time, started again if it ends.

The page's process imports no torch: what ends the model's process, a full memory say, is a sentence on the page.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from typing import IO, cast

from pydantic import ValidationError

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import WorkerError
from paris.coordinator.trying.messages import ANSWER, About, Ask, Drawn, Message, Refused, Source

_MOST_WAITING = 4
BUSY = Refused(message="Others are drawing; try again in a moment.")


class ModelProcess:
    """One model in a process of its own.

    Args:
        children: Starts it, and ends it with this process.
        source: The model.
    """

    def __init__(self, children: Children, source: Source) -> None:
        self._children, self._source = children, source
        self._child: subprocess.Popen[bytes] | None = None
        self._drawing = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    def start(self) -> About:
        """Load the model.

        Raises:
            WorkerError: It cannot be loaded.
        """
        self._child = self._children.spawn("model", Program.TRY, answers=True)
        answer = self._ask(self._source)
        if not isinstance(answer, About):
            self._end()
            raise WorkerError(answer.message if isinstance(answer, Refused) else "The model's process went wrong.")
        return answer

    def draw(self, ask: Ask) -> Drawn | Refused:
        """Draw a picture; waits for those before it.

        Returns:
            The picture; or why there is none, `BUSY` if too many wait.
        """
        if not self._places.acquire(blocking=False):
            return BUSY
        try:
            with self._drawing:
                return self._drawn(ask)
        finally:
            self._places.release()

    def _drawn(self, ask: Ask) -> Drawn | Refused:
        try:
            if self._child is None or self._child.poll() is not None:
                self._end()
                self.start()
            answer = self._ask(ask)
        except WorkerError as error:
            self._end()
            return Refused(message=str(error))
        return answer if isinstance(answer, Drawn | Refused) else Refused(message="The model's process went wrong.")

    def _ask(self, question: Message) -> About | Drawn | Refused:
        child = self._child
        if child is not None:
            stdin, stdout = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
            with contextlib.suppress(OSError, ValueError):  # a pipe that breaks, or that the end has closed
                # Not through the buffer, whose rest would fail once more when it is closed.
                os.write(stdin.fileno(), question.model_dump_json().encode() + b"\n")
                if (line := stdout.readline()).endswith(b"\n"):
                    with contextlib.suppress(ValidationError):
                        return ANSWER.validate_json(line)
        raise WorkerError(f"The model's process ended: {self._end() or 'no output'}")

    def _end(self) -> str:
        """End the process, if it has not ended; returns the last line that it logged."""
        child, self._child = self._child, None
        if child is None:
            return ""
        child.kill()
        child.wait()
        return self._children.forget(child)
