"""/metrics says what the state says; dashboard and alerts name metrics that exist."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from page_world import change, served
from prometheus_client.parser import text_string_to_metric_families
from test_page_live import reopened

from paris.coordinator.page.tables import TASK_STATES
from paris.coordinator.run.health import Health, read_health, write_health
from paris.coordinator.service.executor import Spent
from paris.coordinator.service.health import HealthReport

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
HEALTH = Health(
    at=1.5e9, started_at=1.4e9, tick_s=0.25, num_peers=3, num_refused_records=7, num_verifications=2, verification_s=9.5
)


def metrics(site) -> dict[str, float]:
    text = site.ask("/metrics").text
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_follow_the_state(run):
    write_health(run, HEALTH)
    with served(run) as site:
        found = metrics(site)
        assert (found["paris_tasks/registered"], found["paris_tasks/training"], found["paris_tasks/open"]) == (1, 1, 0)
        assert found["paris_submissions/accepted"] == 1
        assert found["paris_verified_share"] == 0.5
        assert (found["paris_volunteers/known"], found["paris_volunteers/present"]) == (2, 0)
        assert found["paris_log_events/leased"] == 2
        assert found["paris_tick_seconds"] == 0.25
        assert found["paris_verification_seconds_total"] == 9.5
        change(run, reopened)
        assert metrics(site)["paris_tasks/open"] == 1
        assert site.ask("/metrics", Host="paris.example.org").status == 404


def paused(state):
    """expert-1's volunteer has paused."""
    task = state.tasks["expert-1"]
    held = state.leases[task.lease_id]
    beat = held.heartbeat.model_copy(update={"state": "paused", "pause_reason": "battery"})
    told = held.model_copy(update={"heartbeat": beat})
    return replace(state, leases={**state.leases, task.lease_id: told}), []


def test_a_task_that_its_volunteer_has_paused_is_counted_as_paused(run):
    change(run, paused)
    with served(run) as site:
        found = metrics(site)
        counts = {name: found[f"paris_tasks/{name}"] for name in TASK_STATES}
        assert (counts["paused"], counts["training"], sum(counts.values())) == (1, 0, 2)
        assert "expert-1</a></th>" in site.ask("/run?state=paused").text


def test_dashboard_and_alerts_name_metrics_that_exist(run):
    write_health(run, HEALTH)
    with served(run) as site:
        known = {name.partition("/")[0] for name in metrics(site)} | {"paris_hub_bytes_total"}
    dashboard = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = (MONITORING / "alerts.yml").read_text("utf-8")
    named = set(re.findall(r"paris_\w+", " ".join(asked) + re.sub(r"#.*", "", alerts)))
    assert len(named) > 10
    assert named - known == set()


class Peer:
    num_neighbours, refusals = 3, {"stale": 4, "forged": 3}


class Supervised:
    current = Peer()


class Ended:
    verifications = Spent(2, 9.5)


class Run:
    def __init__(self, path) -> None:
        self.path = path


def test_the_service_writes_its_health_at_most_every_five_seconds(tmp_path):
    now = [100.0]
    report = HealthReport(Run(tmp_path), Supervised(), Ended(), lambda: now[0], lambda: 1.4e9 + now[0])
    for second, tick_s in ((0, 0.1), (4, 0.2), (6, 0.3)):
        now[0] = 100.0 + second
        report(tick_s)
        assert read_health(tmp_path).tick_s == {0: 0.1, 4: 0.1, 6: 0.3}[second]
    assert read_health(tmp_path) == Health(
        at=1.4e9 + 106, started_at=1.4e9 + 100, tick_s=0.3, num_peers=3, num_refused_records=7, num_verifications=2,
        verification_s=9.5,
    )  # fmt: skip
    (tmp_path / "health.json").write_text("{}")
    assert read_health(tmp_path) is None


@pytest.mark.parametrize("ago_s", [1, 600])
def test_a_service_without_a_sign_of_life_is_down(run, ago_s):
    write_health(run, HEALTH.model_copy(update={"at": time.time() - ago_s}))
    with served(run) as site:
        assert (f'data-state="{"up" if ago_s == 1 else "down"}"') in site.ask("/run").text
