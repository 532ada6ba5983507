"""A server as a child process: started, waited for, and started again if it dies."""

from __future__ import annotations

import logging
import subprocess
import time

from paris.coordinator.children import Children, Program
from paris.protocol.clock import Clock

logger = logging.getLogger(__name__)
START_TIMEOUT_S = 60.0
_POLL_S = 0.1


class ServerChild:
    """One server's process.

    Args:
        children: Starts it.
        name: Of its log.
        ready: What it prints before its address when it listens. An answer at the address does not count: another
            process may have taken the port.
        restart_every_s: At most this often it is started again.
        clock: Seconds that only grow.
    """

    def __init__(
        self, children: Children, name: str, ready: str, restart_every_s: float, clock: Clock = time.monotonic
    ) -> None:
        self._children, self._name, self._ready = children, name, ready
        self._restart_every_s, self._clock = restart_every_s, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def spawn(self, program: Program, *options: str) -> None:
        """Start the process, in place of one that has ended."""
        if self._process is not None:
            self._children.forget(self._process)
        self._process, self._started_at = self._children.spawn(self._name, program, *options), self._clock()

    def wait_until_ready(self) -> str | None:
        """Wait until the server listens.

        Returns:
            Its address; None if the process has ended, or is not ready in time: then it still runs.
        """
        process = self._process
        while process is not None and self._ready not in self._children.output(process):
            if process.poll() is not None or self._clock() - self._started_at > START_TIMEOUT_S:
                return None
            time.sleep(_POLL_S)
        return None if process is None else self._children.output(process).partition(self._ready)[2].split()[0]

    def terminate(self) -> None:
        """Tell the process to end."""
        if self._process is not None:
            self._process.terminate()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def last_line(self) -> str:
        """Of what it wrote."""
        output = "" if self._process is None else self._children.output(self._process)
        return (output.strip().splitlines() or ["no output"])[-1]

    def is_to_be_restarted(self) -> bool:
        """Whether it has ended, and was last started long enough ago."""
        code = self.exit_code
        if code is None or self._clock() - self._started_at < self._restart_every_s:
            return False
        logger.info("%s ended with code %s: restarting it.", self._name, code)
        return True
