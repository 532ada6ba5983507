"""The page's own server, where run.toml sets `[page] listen`: a child process, restarted if it dies."""

from __future__ import annotations

import logging
import subprocess
import time

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import WorkerError
from paris.coordinator.run.directory import RunDir
from paris.protocol.clock import Clock
from paris.protocol.errors import PortTakenError

logger = logging.getLogger(__name__)
_START_TIMEOUT_S = 60.0
_RESTART_EVERY_S = 30.0
_POLL_S = 0.1
_READY = "page ready at "  # as `page/server.py` prints it; importing it here would cost memory


class PageServer:
    """The page as a child process. Without it the run goes on.

    Args:
        run: Its `[page]` names where to listen.
        children: Starts its process.
        clock: Seconds that only grow.
    """

    name = "The page"

    def __init__(self, run: RunDir, children: Children, clock: Clock = time.monotonic) -> None:
        self._run, self._children, self._clock = run, children, clock
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def start(self) -> str:
        """Start it and wait until it listens.

        Returns:
            The page's address.

        Raises:
            PortTakenError: Its port is in use.
            WorkerError: It ended for another reason, or was not ready in time.
        """
        self._spawn()
        child, listen = self._child, self._run.config.page.listen
        while child is not None and _READY not in self._children.output(child):
            if child.poll() == PortTakenError.exit_code:
                raise PortTakenError(
                    f"The page cannot listen: {listen} is in use.",
                    f"Stop what listens there, or change [page] listen in {self._run.path / 'run.toml'}.",
                )
            if child.poll() is not None or self._clock() - self._started_at > _START_TIMEOUT_S:
                raise WorkerError("The page did not start.", f"See {self._run.logs / 'page.log'}.")
            time.sleep(_POLL_S)
        output = "" if child is None else self._children.output(child)
        return output.partition(_READY)[2].split()[0]

    def restart_if_dead(self) -> bool:
        """Start it again if it has ended, at most every 30 seconds; does not wait for it."""
        child = self._child
        if child is None or child.poll() is None or self._clock() - self._started_at < _RESTART_EVERY_S:
            return False
        logger.info("The page ended with code %s: restarting it.", child.returncode)
        self._children.forget(child)
        self._spawn()
        return True

    def _spawn(self) -> None:
        listen = self._run.config.page.listen
        options = ("--run", str(self._run.path), "--run-id", self._run.run_id, "--listen", str(listen))
        self._child, self._started_at = self._children.spawn("page", Program.PAGE, *options), self._clock()
