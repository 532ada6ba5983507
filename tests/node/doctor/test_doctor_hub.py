"""The Hub that does not answer, answers as a login page, tells another time, or knows a token that may only read."""

from __future__ import annotations

import email.utils
import json
import time

import pytest
from portal import Portal

from paris.node.doctor.finding import Level
from paris.node.doctor.hub_looks import _why_read_only, clock, hub, token
from paris.node.doctor.looks import Look, look_at


class _Dated(Portal):
    """A Hub whose clock is off by `off_s`."""

    off_s = 0.0

    def own_answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps({"id": "org/data", "sha": "1" * 40}).encode()


class _Handler(Portal.__init__.__globals__["_Handler"]):
    def date_time_string(self, timestamp: float | None = None) -> str:
        return email.utils.formatdate(time.time() + self.server.off_s, usegmt=True)


@pytest.fixture
def dated():
    server = _Dated("http://127.0.0.1:9")
    server.RequestHandlerClass = _Handler
    with server:
        yield server


@pytest.fixture
def at(known, make_spec):
    """What is known of a run at a Hub."""

    def at(endpoint: str):
        known.run, known.spec = "run.json", make_spec(hub_endpoint=endpoint)
        return known

    return at


def test_a_clock_is_compared_with_the_hubs(at, dated):
    known = at(dated.url)
    assert [finding.level for finding in hub(known)] == [Level.OK]
    (found,) = clock(known)
    assert found.level is Level.OK
    dated.off_s = 3600.0
    (found,) = clock(known)
    assert found.level is Level.PROBLEM
    assert "s behind the Hub's" in found.text
    assert abs(int(found.text.split()[0]) - 3600) <= 2
    assert "timedatectl set-ntp true" in found.next_step
    known.num_peers_that_answer = 1
    (found,) = clock(known)
    assert found.level is Level.WARNING, "peers accept the clock: then the Hub's is wrong"
    known.clock_is_refused, dated.off_s = True, -3600.0
    (found,) = clock(known)
    assert found.level is Level.PROBLEM
    assert "s ahead of the Hub's" in found.text


def test_without_a_hub_the_peers_alone_judge_the_clock(at):
    known = at("http://127.0.0.1:9")
    assert [finding.level for finding in clock(known)] == [Level.WARNING]
    known.num_peers_that_answer = 1
    assert [finding.level for finding in clock(known)] == [Level.OK]
    known.clock_is_refused = True
    (found,) = clock(known)
    assert found.level is Level.PROBLEM
    assert "more than 3 s" in found.text


@pytest.mark.parametrize("mode", ["html", "untyped", "login"])
def test_a_login_page_in_the_hubs_place_is_called_one_by_each_look(at, mode):
    with Portal("http://127.0.0.1:9") as page:
        page.mode = mode
        known = at(page.url)
        found = [finding for see in (hub, token) for finding in look_at(Look(see.__name__, lambda see=see: see(known)))]
        assert [finding.level for finding in clock(known)] == [Level.WARNING]
    assert [finding.level for finding in found] == [Level.PROBLEM, Level.PROBLEM]
    assert all("A login page or proxy answered instead of the Hub" in finding.text for finding in found)


def test_a_hub_that_is_down_is_a_problem(at):
    (found,) = look_at(Look("hub", lambda: hub(at("http://127.0.0.1:9"))))
    assert found.level is Level.PROBLEM
    assert "no answer" in found.text


def test_a_plain_http_hub_elsewhere_gets_no_token(at):
    (found,) = look_at(Look("token", lambda: token(at("http://hub.invalid"))))
    assert found.level is Level.PROBLEM
    assert "is plain http" in found.text
    assert "--allow-plain-http" in found.next_step


@pytest.mark.parametrize(
    ("permissions", "may_write"),
    [
        ({"global": ["discussion.write"], "scoped": []}, True),
        ({"global": [], "scoped": [{"entity": {"name": "org"}, "permissions": ["repo.write"]}]}, True),
        ({"global": [], "scoped": [{"entity": {"name": "org/model"}, "permissions": ["repo.write"]}]}, True),
        ({"global": [], "scoped": [{"entity": {"name": "other"}, "permissions": ["repo.write"]}]}, False),
        ({"global": ["repo.content.read"], "scoped": [{"entity": None}, 7]}, False),
    ],
)
def test_a_fine_grained_token_lists_what_it_may(permissions, may_write):
    who = {"name": "ada", "auth": {"accessToken": {"role": "fineGrained", "fineGrained": permissions}}}
    assert (_why_read_only(who, "org/model") is None) == may_write
    assert _why_read_only({"name": "ada"}, "org/model") is None
