"""A node behind a hotel's network: at each stage the portal answers for the Hub, and nothing is lost by it."""

from __future__ import annotations

import pytest
from portal import Portal

FOREIGN = "A login page or proxy answered instead of the Hub"


@pytest.mark.slow
def test_a_node_waits_out_a_portal_at_every_stage_and_keeps_its_lease(make_coordinator, start, monkeypatch):
    coordinator = make_coordinator(12)
    with Portal(coordinator.hub.url) as portal:
        monkeypatch.setenv("PARIS_NODE_HUB_ENDPOINT", portal.url)
        monkeypatch.setenv("PARIS_NODE_HUB_TOKEN_ENDPOINT", portal.url)
        portal.mode = "login"
        node = start("--once")
        assert FOREIGN in node.wait_for("retrying")["text"]
        portal.mode = "html-files"
        while "/resolve/" not in (told := node.wait_for("retrying"))["text"]:
            pass  # of the first mode
        assert FOREIGN in told["text"]
        portal.mode = "html-writes"
        assert FOREIGN in node.wait_for("retrying")["text"]
        portal.mode = "pass"
        assert node.wait_for("verdict")["accepted"]
        assert node.wait_end() == 0
    assert len(node.of("leased")) == 1
    assert [lease.attempt for lease in coordinator.leases.values()] == [1]
