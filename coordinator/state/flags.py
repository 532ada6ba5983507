"""Words that commands leave in the state for the running service."""

from __future__ import annotations

ROUTER_FLAG = "train-router"
FROM_DATA, FROM_SAMPLES = "from-data", "from-samples"
"""Values of that flag: what the router is to be trained on."""
