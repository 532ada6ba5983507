"""Flags that commands set in the store for the running service."""

from __future__ import annotations

ROUTER_FLAG = "train-router"
FROM_DATA, FROM_SAMPLES = "from-data", "from-samples"
"""Values of that flag: the rows to train on."""
