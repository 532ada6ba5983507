"""A run whose volunteers reach no peer: leases, heartbeats, submissions and verdicts go by the Hub alone."""

from __future__ import annotations

import json

import pytest
from deadlines import DEADLINE_S
from swarm import join, serve_tiny, status, wait_until

from paris.coordinator.run_hub.browsing import HubReader

pytestmark = [pytest.mark.slow, pytest.mark.long]
_SETTINGS = {
    'data_repo = "paris/tiny-data"': 'data_repo = "paris/tiny-data"\nmailboxes_every_s = 1.0\n\n'
    "[dht]\n# Volunteers are told to dial where nobody listens.\n"
    'announce = ["/ip4/127.0.0.1/tcp/1"]',
    "heartbeat_every_s = 0.5": "heartbeat_every_s = 10.0",
    "steps = 240": "steps = 120\nleg_steps = 60",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hub-run")


def test_two_volunteers_without_a_peer_finish_a_run_of_legs(folder, crew):
    run = serve_tiny(folder, crew, _SETTINGS)
    spec = json.loads((run / "run.json").read_bytes())["payload"]
    assert all("/tcp/1/" in address for address in spec["initial_peers"])
    hub = HubReader(spec["hub_endpoint"])
    wait_until(lambda: "swarm" in branches(hub), DEADLINE_S, "the branch that says that mailboxes are read")
    nodes = [join(run, crew, name) for name in ("ada", "ben")]
    wait_until(lambda: status(run)["router"]["phase"] == "done", 2 * DEADLINE_S, "both experts and the router")
    assert {task["volunteer"] for task in status(run)["tasks"]} <= {"ada", "ben"}
    for node in nodes:
        assert node.event("dht")["is_up"] is False
        assert not [event for event in node.events if event["event"] == "dht" and event["is_up"]]
    pulls = hub.repo(spec["model_repo"], None)["pull_requests"]
    assert len([pull for pull in pulls if pull["title"].startswith("Mailbox of ")]) == 2


def branches(hub: HubReader) -> list[str]:
    return [ref["name"] for ref in hub.repo("paris/tiny", None)["refs"] if ref["kind"] == "branch"]
