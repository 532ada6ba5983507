"""/metrics, for Prometheus: the node's figures at the moment of asking, for who sends the home's metrics token."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from paris.node.page.site import Site
from paris.protocol.private_files import create_private
from paris.protocol.secrets import keep_secret
from paris.protocol.version import SOFTWARE_VERSION

TOKEN_FILE = "metrics-token"
"""In the home; the same at every start, so that Prometheus can be told of it. It opens nothing else."""
_STATES = ("joining", "joined", "waiting", "fetching", "training", "paused", "resuming", "uploading",
           "awaiting-verdict", "ended")  # fmt: skip
_GAUGES = {
    "step": "Steps of the present task that are done.",
    "steps": "Steps of the present task.",
    "start_step": "First step of the present leg.",
    "end_step": "Last step of the present leg.",
    "loss": "Training loss, as reported last.",
    "steps_per_s": "Steps in a second.",
    "eta_s": "Seconds until the present leg's last step.",
    "snapshot_at": "When the last snapshot was written, UTC seconds.",
    "heartbeat_at": "When the peers took the last heartbeat, UTC seconds.",
    "peers": "Peers of the run that this node knows.",
    "gpu_temperature_c": "Temperature of the GPU, degrees Celsius.",
    "gpu_power_w": "Power that the GPU takes, watts.",
}
"""Fields of NodeStatus, and what each is; one that is not known, or does not apply, is left out."""
_NAMES = {
    "steps_per_s": "steps_per_second",
    "eta_s": "remaining_seconds",
    "snapshot_at": "snapshot_timestamp_seconds",
    "heartbeat_at": "heartbeat_timestamp_seconds",
    "gpu_temperature_c": "gpu_temperature_celsius",
    "gpu_power_w": "gpu_power_watts",
}
"""Prometheus' units, where a field's name has another."""


def metrics_token(home: Path) -> str:
    """The token for /metrics, made at the first call; errors as of `create_private`."""
    path = home / TOKEN_FILE
    create_private(path, f"{secrets.token_urlsafe(32)}\n".encode("ascii"))
    token = path.read_text("ascii").strip()
    keep_secret(token)
    return token


def metrics_of(site: Site) -> bytes:
    """All metrics in Prometheus' text format, with those of the process as any program has them."""
    registry = CollectorRegistry()
    registry.register(_Node(site))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Node(Collector):
    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        status = self._site.board.status
        about = {"run_id": status.run_id, "hardware": status.hardware, "version": SOFTWARE_VERSION}
        yield InfoMetricFamily("paris_node", "The run, the hardware, and the version of the software.", about)
        states = GaugeMetricFamily("paris_node_state", "1 for the state that the node is in.", labels=["state"])
        for state in _STATES:
            states.add_metric([state], float(status.state == state))
        yield states
        for field, what in _GAUGES.items():
            value = getattr(status, field)
            if value is not None:
                yield GaugeMetricFamily(f"paris_node_{_NAMES.get(field, field)}", what, float(value))
        if status.credit_steps is not None:
            yield CounterMetricFamily("paris_node_credit_steps", "Verified steps of the run.", status.credit_steps)
