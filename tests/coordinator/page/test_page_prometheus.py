"""A real Prometheus with the documented configuration reads a served run, and takes the rules and the dashboard."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from deadlines import DEADLINE_S

MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"
pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")


@pytest.fixture(scope="module")
def ask(tmp_path_factory, site):
    """Asks Prometheus's API, while it reads a run's page every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (MONITORING / "prometheus.yml").read_text("utf-8")
    assert (text.count("127.0.0.1:8001"), text.count("15s")) == (1, 2)
    text = text.replace("127.0.0.1:8001", f"127.0.0.1:{site.port}").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(MONITORING / "alerts.yml", folder)
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'db'}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

    def answer(path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("GET", f"/api/v1/{path}")
            told = json.loads(connection.getresponse().read())
            assert told["status"] == "success", (path, told)
            return told["data"]
        finally:
            connection.close()

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return bool(answer("status/buildinfo"))
        except (ConnectionError, ValueError):  # not yet listening, or reading its database
            return False

    try:
        until(is_ready, "Prometheus answers")
        yield answer
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def until(found: Callable[[], Any], what: str) -> Any:
    """What a function finds at last."""
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not (result := found()):
        assert time.monotonic() < deadline, what
        pause.wait(0.1)
    return result


def test_prometheus_reads_the_runs_figures(ask):
    query = "query?query=" + quote('paris_tasks{state="registered"}')
    (series,) = until(lambda: ask(query)["result"], "the run's figures")
    assert (series["metric"]["job"], series["value"][1]) == ("paris", "1")


def test_prometheus_takes_every_rule_and_evaluates_it(ask):
    documented = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]

    def evaluated() -> list[dict[str, Any]] | None:
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = until(evaluated, "the rules are evaluated")
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules] == [rule["alert"] for group in documented for rule in group["rules"]]


def test_prometheus_takes_every_query_of_the_dashboard(ask):
    dashboard = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 5
    for query in asked:
        ask("query?query=" + quote(query.replace("$__rate_interval", "1m")))
