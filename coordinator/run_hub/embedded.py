"""The Hub of a run that serves its own: a child process, started before anything needs it, restarted if it dies."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import ConfigError, HubError
from paris.coordinator.run.directory import RunDir
from paris.protocol.errors import PortTakenError

logger = logging.getLogger(__name__)
_START_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 5.0
_RESTART_EVERY_S = 5.0
_POLL_S = 0.1
_READY = "hub ready at "  # as `hub/server.py` prints it; importing it here would cost memory


class EmbeddedHub:
    """The run's Hub as a child process.

    Args:
        run: Its `[hub]` names host and port.
        children: Starts its process.
    """

    name = "The embedded Hub"

    def __init__(self, run: RunDir, children: Children) -> None:
        self._run, self._children = run, children
        self._log = run.logs / "hub.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def start(self) -> None:
        """Start it and wait until it reports that it listens.

        The line in its own output counts, not an answer at the address: another process may have taken the port.

        Raises:
            ConfigError: The endpoint names no host and port.
            PortTakenError: Its port is in use.
            HubError: It ended for another reason, or was not ready in time.
        """
        host, port = _address(self._run)
        options = ("--data", str(self._run.hub_data), "--host", host, "--port", str(port), "--open-registration")
        # The run's page answers below /run, on the same port.
        page = ("--run", str(self._run.path), "--run-id", self._run.run_id)
        child = self._children.spawn("hub", Program.PAGE, *page, *options)
        self._child, self._started_at = child, time.monotonic()
        while _READY not in self._children.output(child):
            if child.poll() is not None:
                self._explain_end(child, host, port)
            if time.monotonic() - self._started_at > _START_TIMEOUT_S:
                child.terminate()
                raise HubError(f"The embedded Hub was not ready within {_START_TIMEOUT_S:.0f} s.", f"See {self._log}.")
            time.sleep(_POLL_S)

    def restart_if_dead(self) -> bool:
        """Restart it if it has ended, at most every 5 seconds.

        Returns:
            Whether it was restarted.

        Raises:
            PortTakenError, HubError: As `start`; a later call tries again.
        """
        child = self._child
        if child is None or child.poll() is None or time.monotonic() - self._started_at < _RESTART_EVERY_S:
            return False
        logger.info("The embedded Hub ended with code %s: restarting it.", child.returncode)
        self._children.forget(child)
        self.start()
        return True

    def _explain_end(self, child: subprocess.Popen[bytes], host: str, port: int) -> None:
        if child.returncode == PortTakenError.exit_code:
            raise PortTakenError(
                f"The embedded Hub cannot listen: port {port} of {host} is in use.",
                f"Stop what listens there, or change [hub] endpoint in {self._run.path / 'run.toml'}.",
            )
        lines = self._children.output(child).strip().splitlines() or ["no output"]
        last = lines[-1].removeprefix("error: ")
        raise HubError(f"The embedded Hub ended with code {child.returncode}: {last}", f"See {self._log}.")


def start_embedded_hub(run: RunDir, children: Children) -> EmbeddedHub:
    """Start the run's embedded Hub and wait until it listens; errors as of `EmbeddedHub.start`."""
    hub = EmbeddedHub(run, children)
    hub.start()
    return hub


def organiser_token(run: RunDir) -> str:
    """The token of the embedded Hub's administrator.

    Raises:
        HubError: The embedded Hub has never run here.
    """
    path = run.hub_data / "admin.token"
    if not path.is_file():
        raise HubError(f"The embedded Hub has made no token at {path} yet.", f"Start it: paris-coord serve {run.path}")
    return path.read_text("ascii").strip()


def read_traffic(run: RunDir) -> list[dict[str, Any]]:
    """Bytes that the embedded Hub counted, by user, repo and part; empty where it does not answer."""
    try:
        request = Request(
            f"{run.config.hub.endpoint}/api/paris/traffic", headers={"Authorization": f"Bearer {organiser_token(run)}"}
        )
        with urlopen(request, timeout=_REQUEST_TIMEOUT_S) as answer:
            return list(json.load(answer)["entries"])
    except (URLError, TimeoutError, ConnectionError):
        return []


def _address(run: RunDir) -> tuple[str, int]:
    endpoint = run.config.hub.endpoint
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise ConfigError(
            f"{endpoint!r} does not say where the embedded Hub listens.",
            "Give [hub] endpoint in run.toml a host and a port, as in http://192.0.2.7:8484.",
        )
    return host, port
