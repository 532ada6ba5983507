"""Reaching the run's Hub with the organiser's token; an embedded one is started where it does not run."""

from __future__ import annotations

import os

from paris.coordinator.children import Children
from paris.coordinator.errors import HubError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.embedded import organiser_token, start_embedded_hub


def connect_hub(run: RunDir, children: Children, *, start_embedded: bool = True) -> RunHub:
    """The run's Hub; where it is embedded, started first as a child process.

    Args:
        run: The run directory.
        children: Where the embedded Hub is started.
        start_embedded: False where a running `serve` has it up already.

    Raises:
        HubError: No token, or the embedded Hub did not come up.
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
