"""Turns off the usage statistics of the libraries that the programs use.

docs/volunteers.md promises that a node connects to its run alone. Each library reads its variable when it is imported,
so `paris.node` and `paris.coordinator` call this in their `__init__.py`, before any module of theirs imports a library.
"""

from __future__ import annotations

import os

_SWITCHES = {
    "DO_NOT_TRACK": "1",  # https://donottrack.sh: Daft and others
    "HF_HUB_DISABLE_TELEMETRY": "1",  # also the list of agents that huggingface_hub fetches for its user agent
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers asks the Hub for a converted copy in a thread
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OTEL_SDK_DISABLED": "true",
}


def disable_telemetry() -> None:
    """Set the switches in this process's environment; child processes inherit them."""
    os.environ.update(_SWITCHES)
