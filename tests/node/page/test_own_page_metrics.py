"""/metrics of a node: what the page shows, for who has the metrics token; the token opens nothing else."""

from __future__ import annotations

import stat

import pytest
from own_page_world import served
from prometheus_client.parser import text_string_to_metric_families

from paris.node.page.metrics import metrics_token
from paris.node.view import EventKind


def bearer(page) -> dict[str, str]:
    return {"cookie": "", "Authorization": f"Bearer {metrics_token(page.site.home.path)}"}


def figures(page) -> dict[str, float]:
    answer = page.ask("/metrics", **bearer(page))
    assert answer.status == 200
    return {
        "/".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_nodes_state(page):
    found, status = figures(page), page.site.board.status
    assert (found["paris_node_state/training"], found["paris_node_state/joining"]) == (1, 0)
    assert (found["paris_node_step"], found["paris_node_loss"]) == (status.step, status.loss)
    assert found["paris_node_steps_per_second"] == status.steps_per_s
    assert sum(value for name, value in found.items() if name.startswith("paris_node_state/")) == 1
    assert found["process_resident_memory_bytes"] > 2**20


def test_what_is_not_known_is_left_out(tmp_path):
    with served(tmp_path, joins=False) as page:
        page.enter()
        found = figures(page)
    assert found["paris_node_state/joining"] == 1
    assert "paris_node_loss" not in found


def test_every_state_of_a_node_has_its_figure(page):
    for kind, state in ((EventKind.WAITING, "waiting"), (EventKind.PAUSED, "paused"), (EventKind.DONE, "ended")):
        page.event(kind, text="", reason="", why="", until=None, kept_until=None)
        assert (page.site.board.status.state, figures(page)[f"paris_node_state/{state}"]) == (state, 1)


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer x", "Basic eDp5", "bearer\xe9"])
def test_without_the_token_there_are_no_figures(page, authorization):
    assert page.ask("/metrics", cookie="", Authorization=authorization).status == 401
    assert page.ask("/metrics").status == 200, "the page's own browser may look"


def test_the_token_opens_nothing_else_and_is_the_same_after_a_restart(page):
    for path in ("/stream", "/pictures/expert-0/1.png"):
        assert page.ask(path, **bearer(page)).status == 401
    assert page.ask("/control", "POST", b"command=leave", Origin=page.origin, **bearer(page)).status == 401
    assert page.ask("/", **bearer(page)).status == 401
    path = page.site.home.path / "metrics-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert metrics_token(page.site.home.path) == path.read_text().strip()
