"""Connects to the run's Hub with the organiser's token; an embedded one is started first."""

from __future__ import annotations

import os

from paris.coordinator.children import Children
from paris.coordinator.errors import HubError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.embedded import organiser_token, start_embedded_hub


def connect_hub(run: RunDir, children: Children, *, start_embedded: bool = True) -> RunHub:
    """The client of the run's Hub; an embedded Hub is started first.

    Args:
        run: The run directory.
        children: Starts the embedded Hub.
        start_embedded: False if a running `serve` has started it.

    Raises:
        HubError: There is no token, or the embedded Hub did not start.
    """
    table = run.config.hub
    if table.embedded and start_embedded:
        start_embedded_hub(run, children)
    return RunHub(table.endpoint, _token(run), table.model_repo, table.data_repo)


def _token(run: RunDir) -> str:
    if run.config.hub.embedded:
        return organiser_token(run)
    token = os.environ.get("PARIS_HUB_TOKEN", "")
    if not token:
        raise HubError("No token for the Hub.", "Set PARIS_HUB_TOKEN to a token with write access to the run's repos.")
    return token
