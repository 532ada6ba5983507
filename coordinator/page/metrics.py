"""/metrics, for Prometheus: the run's figures at the moment of asking. docs/monitoring uses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from paris.coordinator.page.reading import Snapshot
from paris.coordinator.page.tables import num_present, progress_of, state_counts, task_rows, verdict_rows
from paris.coordinator.page.views import Site
from paris.coordinator.run.health import read_health


def metrics_of(site: Site) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Run(site))
    return generate_latest(registry)


class _Run(Collector):
    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        snapshot = self._site.reader.snapshot()
        yield from self._of_tasks(snapshot)
        yield from self._of_work(snapshot)
        yield from self._of_service()
        yield _gauge("paris_disk_free_bytes", "Free space of the run directory's disk.", self._site.folder.free_bytes())
        if self._site.hub_bytes is not None:
            moved = CounterMetricFamily("paris_hub_bytes", "Bytes that the embedded Hub moved.", labels=["direction"])
            for direction, count in self._site.hub_bytes().items():
                moved.add_metric([direction], count)
            yield moved

    def _of_tasks(self, snapshot: Snapshot) -> Iterator[Metric]:
        rows = task_rows(snapshot.state)
        yield _by_label("paris_tasks", "Tasks by state.", "state", state_counts(rows))
        progress = progress_of(rows)
        yield _gauge("paris_verified_share", "Share of all steps that is verified.", progress["verified"])
        yield _gauge("paris_reached_share", "Share of all steps that volunteers have reached.", progress["reached"])
        yield _gauge("paris_paused", "1 while the run is paused.", snapshot.state.pause.is_paused)
        beats = [row["heartbeat_at"] for row in rows if row["heartbeat_at"] is not None and row["state"] == "leased"]
        newest = max(beats, default=0.0)
        yield _gauge("paris_last_heartbeat_timestamp_seconds", "When a leased task last had a heartbeat.", newest)

    def _of_work(self, snapshot: Snapshot) -> Iterator[Metric]:
        results = Counter(row["result"] for row in verdict_rows(snapshot.state))
        yield _by_label(
            "paris_submissions", "Submissions by result.", "result", {"rejected": 0, "accepted": 0, **results}
        )
        waiting = sum(known.phase == "seen" for known in snapshot.state.submissions.values())
        yield _gauge("paris_verification_queue", "Submissions that this machine has yet to verify.", waiting)
        present = num_present(snapshot.state, self._site.now() - self._site.want_life_s)
        people = {"present": present, "known": len(snapshot.state.volunteers)}
        yield _by_label("paris_volunteers", "Volunteers.", "presence", people)
        yield _by_label("paris_log_events", "Events in the log by kind.", "kind", self._site.reader.event_counts())

    def _of_service(self) -> Iterator[Metric]:
        health = read_health(self._site.folder.path)
        if health is None:
            return
        yield _gauge("paris_service_seen_timestamp_seconds", "When the service last ended a step.", health.at)
        yield _gauge("paris_service_start_time_seconds", "When the service was started.", health.started_at)
        yield _gauge("paris_tick_seconds", "Duration of the service's last step.", health.tick_s)
        yield _gauge("paris_dht_peers", "Peers that the coordinator's peer knows.", health.num_peers)
        refused, ended = "Records of the DHT that were refused.", "Verifications that ended."
        yield CounterMetricFamily("paris_dht_refused_records", refused, value=health.num_refused_records)
        yield CounterMetricFamily("paris_verifications", ended, value=health.num_verifications)
        yield CounterMetricFamily("paris_verification_seconds", "Time spent on them.", value=health.verification_s)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _by_label(name: str, what: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
