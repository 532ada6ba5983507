"""Connects to the run's Hub with the organiser's token; an embedded one is started first."""

from __future__ import annotations

import os

from paris.coordinator.children import Children
from paris.coordinator.errors import HubError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.embedded import organiser_token, start_embedded_hub
from paris.protocol.secrets import require_encrypted, require_token

_VARIABLE = "PARIS_HUB_TOKEN"


def connect_hub(run: RunDir, children: Children, *, start_embedded: bool = True) -> RunHub:
    """The client of the run's Hub; an embedded Hub is started first.

    Args:
        run: The run directory.
        children: Starts the embedded Hub.
        start_embedded: False if a running `serve` has started it.

    Raises:
        HubError: There is no token, or the embedded Hub did not start.
        TokenError: The token is malformed, or the Hub is neither https nor on this machine.
    """
    table = run.config.hub
    if table.embedded and start_embedded:
        start_embedded_hub(run, children)
    return RunHub(table.endpoint, _token(run), table.model_repo, table.data_repo)


def saved_token(run: RunDir) -> str | None:
    """The organiser's token for reading; None where the environment has none.

    Raises:
        HubError: The embedded Hub has never run here.
        TokenError: As `connect_hub`.
    """
    if not run.config.hub.embedded and not os.environ.get(_VARIABLE, "").strip():
        return None
    return _token(run)


def _token(run: RunDir) -> str:
    if run.config.hub.embedded:
        return organiser_token(run)
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        raise HubError("No token for the Hub.", f"Set {_VARIABLE} to a token with write access to the run's repos.")
    token = require_token(text, _VARIABLE)
    require_encrypted(run.config.hub.endpoint, _VARIABLE)
    return token
