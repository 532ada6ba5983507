"""The Hub of a run that serves its own: started as a child process, ready before anything needs it."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from paris.coordinator.children import Children
from paris.coordinator.errors import HubError
from paris.coordinator.rundir import RunDir

_START_TIMEOUT_S = 60.0
_REQUEST_TIMEOUT_S = 5.0
_POLL_S = 0.1


def start_embedded_hub(run: RunDir, children: Children) -> None:
    """Start the run's embedded Hub and wait until it answers.

    Args:
        run: Its `[hub]` names host and port.
        children: Starts it, and ends it with us.

    Raises:
        HubError: It ended at once (its port is taken, say) or did not answer in time.
    """
    url = urlsplit(run.config.hub.endpoint)
    address = ("--host", str(url.hostname), "--port", str(url.port))
    options = ("--data", str(run.hub_data), *address, "--open-registration")
    child = children.spawn("hub", "paris.coordinator.hub", *options)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(run.config.hub.endpoint):
        if child.poll() is not None:
            raise HubError(f"The embedded Hub did not start: {_last_line(run)}", f"See {run.logs / 'hub.log'}")
        if time.monotonic() > deadline:
            _give_up(child, run)
        time.sleep(_POLL_S)


def organiser_token(run: RunDir) -> str:
    """The embedded Hub's own administrator's token.

    Raises:
        HubError: The embedded Hub never ran here.
    """
    path = run.hub_data / "admin.token"
    if not path.is_file():
        raise HubError(f"The embedded Hub has made no token at {path} yet.", f"Start it: paris-coord serve {run.path}")
    return path.read_text("ascii").strip()


def read_traffic(run: RunDir) -> list[dict[str, Any]]:
    """The embedded Hub's account of bytes, by user, repo and part; empty where it does not answer."""
    try:
        request = Request(
            f"{run.config.hub.endpoint}/api/paris/traffic", headers={"Authorization": f"Bearer {organiser_token(run)}"}
        )
        with urlopen(request, timeout=_REQUEST_TIMEOUT_S) as answer:
            return list(json.load(answer)["entries"])
    except (URLError, TimeoutError, HubError):
        return []


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(endpoint, timeout=_REQUEST_TIMEOUT_S):
            return True
    except (URLError, TimeoutError, ConnectionError):
        return False


def _give_up(child: subprocess.Popen[bytes], run: RunDir) -> None:
    child.terminate()
    raise HubError(f"The embedded Hub did not answer within {_START_TIMEOUT_S:.0f} s.", f"See {run.logs / 'hub.log'}")


def _last_line(run: RunDir) -> str:
    lines = (run.logs / "hub.log").read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
