"""The Hub of a run that serves its own: a child process, started before anything needs it, restarted if it dies."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import ConfigError, HubError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.kept_states import most_refs
from paris.coordinator.server_child import START_TIMEOUT_S, ServerChild
from paris.protocol.errors import PortTakenError

_REQUEST_TIMEOUT_S = 5.0
_RESTART_EVERY_S = 5.0
_READY = "hub ready at "  # as `hub/server.py` prints it; importing it here would cost memory


class EmbeddedHub:
    """The run's Hub as a child process.

    Args:
        run: Its `[hub]` names host and port.
        children: Starts its process.
    """

    name = "The embedded Hub"

    def __init__(self, run: RunDir, children: Children) -> None:
        self._run = run
        self._log = run.logs / "hub.log"
        self._child = ServerChild(children, "hub", _READY, _RESTART_EVERY_S)

    def start(self) -> None:
        """Start it and wait until it reports that it listens.

        Raises:
            ConfigError: The endpoint names no host and port.
            PortTakenError: Its port is in use.
            HubError: It ended for another reason, or was not ready in time.
        """
        host, port = _address(self._run)
        options = ("--data", str(self._run.hub_data), "--host", host, "--port", str(port), "--open-registration")
        limits = json.dumps({"max_repo_refs": most_refs(self._run.config)})
        # The run's page answers below /run, on the same port.
        page = ("--run", str(self._run.path), "--run-id", self._run.run_id)
        self._child.spawn(Program.PAGE, *page, *options, "--limits", limits)
        if self._child.wait_until_ready() is None:
            self._explain_failure(host, port)

    def restart_if_dead(self) -> bool:
        """Restart it if it has ended, at most every 5 seconds.

        Returns:
            Whether it was restarted.

        Raises:
            PortTakenError, HubError: As `start`; a later call tries again.
        """
        if not self._child.is_to_be_restarted():
            return False
        self.start()
        return True

    def _explain_failure(self, host: str, port: int) -> None:
        code = self._child.exit_code
        if code == PortTakenError.exit_code:
            raise PortTakenError(
                f"The embedded Hub cannot listen: port {port} of {host} is in use.",
                f"Stop what listens there, or change [hub] endpoint in {self._run.path / 'run.toml'}.",
            )
        what = f"ended with code {code}: {self._child.last_line.removeprefix('error: ')}"
        if code is None:
            self._child.terminate()
            what = f"was not ready within {START_TIMEOUT_S:.0f} s."
        raise HubError(f"The embedded Hub {what}", f"See {self._log}.")


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
