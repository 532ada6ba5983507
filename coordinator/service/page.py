"""The page's own server, where run.toml sets `[page] listen`: a child process, restarted if it dies."""

from __future__ import annotations

import time

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import WorkerError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.server_child import ServerChild
from paris.protocol.clock import Clock
from paris.protocol.errors import PortTakenError

_RESTART_EVERY_S = 30.0
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
        self._run = run
        self._child = ServerChild(children, "page", _READY, _RESTART_EVERY_S, clock)

    def start(self) -> str:
        """Start it and wait until it listens.

        Returns:
            The page's address.

        Raises:
            PortTakenError: Its port is in use.
            WorkerError: It ended for another reason, or was not ready in time.
        """
        self._spawn()
        address = self._child.wait_until_ready()
        if address is not None:
            return address
        if self._child.exit_code == PortTakenError.exit_code:
            raise PortTakenError(
                f"The page cannot listen: {self._run.config.page.listen} is in use.",
                f"Stop what listens there, or change [page] listen in {self._run.path / 'run.toml'}.",
            )
        raise WorkerError("The page did not start.", f"See {self._run.logs / 'page.log'}.")

    def restart_if_dead(self) -> bool:
        """Start it again if it has ended, at most every 30 seconds; does not wait for it."""
        if not self._child.is_to_be_restarted():
            return False
        self._spawn()
        return True

    def _spawn(self) -> None:
        listen = self._run.config.page.listen
        options = ("--run", str(self._run.path), "--run-id", self._run.run_id, "--listen", str(listen))
        self._child.spawn(Program.PAGE, *options)
