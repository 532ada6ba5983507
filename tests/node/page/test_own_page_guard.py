"""Nobody but a browser that has the token sees the page or controls the node."""

from __future__ import annotations

import socket
import stat

import pytest
from own_page_world import served

from paris.node.errors import PageError
from paris.node.machine.config import NodeConfig
from paris.node.page.guard import Bound
from paris.node.page.sessions import LIFE_S, Sessions
from paris.protocol.secrets import redact

INSIDE = ("/stream", "/control", "/out", "/pictures/expert-0/200.png")


def test_the_printed_address_opens_a_session_and_leaves_the_token_out_of_the_next_address(shared_page):
    first = shared_page.ask(f"/?token={shared_page.token}", cookie="")
    assert (first.status, first.headers["Location"]) == (303, "/")
    cookie = first.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert shared_page.token not in first.headers["Set-Cookie"]
    assert shared_page.ask("/").status == 200


def test_the_token_is_in_no_page_and_no_log_and_its_file_is_the_owners_alone(shared_page):
    page = shared_page.ask("/")
    session = shared_page.cookie.partition("=")[2]
    assert [secret in page.text for secret in (shared_page.token, session)] == [False, False]
    assert redact(f"GET /?token={shared_page.token} {session}").count("[secret]") == 2
    file = shared_page.site.home.path / "page-address"
    assert file.read_text() == f"{shared_page.address}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(shared_page.token) >= 43, "256 bits"


def test_the_address_file_goes_when_the_page_ends(tmp_path):
    with served(tmp_path):
        assert (tmp_path / "page-address").exists()
    assert not (tmp_path / "page-address").exists()


@pytest.mark.parametrize("path", INSIDE)
def test_without_a_session_there_is_nothing_to_see(shared_page, path):
    for cookie in ("", "paris_node_1=x", f"{shared_page.cookie}x"):
        assert shared_page.ask(path, cookie=cookie).status == 401
    door = shared_page.ask("/", cookie="")
    assert door.status == 401
    assert "expert-0" not in door.text


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "192.0.2.1:{port}"]
)
def test_a_host_that_is_not_this_page_gets_nothing(shared_page, host):
    port = shared_page.host.rpartition(":")[2]
    for path in ("/", "/assets/page.css", f"/?token={shared_page.token}"):
        assert shared_page.ask(path, Host=host.format(port=port)).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=["none", "null", "another-site", "another-port", "same-site"],
)
def test_a_form_of_another_page_controls_nothing(shared_page, headers):
    assert shared_page.post("/control", headers, command="pause").status == 403
    assert shared_page.post("/enter", headers, token=shared_page.token).status == 403
    assert shared_page.site.wishes.why_paused() is None


def test_a_stream_for_another_page_is_refused(shared_page):
    assert shared_page.ask("/stream", Origin="http://attacker.example").status == 403
    assert shared_page.ask("/stream", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors").status == 403
    assert shared_page.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200, "a link"


def test_every_answer_has_the_policy(shared_page):
    for path, cookie in (("/", None), ("/", ""), ("/assets/page.js", ""), ("/nothing", None), ("/stream", "")):
        answer = shared_page.ask(path, **({} if cookie is None else {"cookie": cookie}))
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Access-Control-Allow-Origin"] is None
        assert answer.headers["Server"] is None


def test_a_session_that_was_signed_out_opens_nothing_again(page):
    assert page.ask("/").status == 200
    out = page.post("/out")
    assert (out.status, "Max-Age=0" in out.headers["Set-Cookie"]) == (303, True)
    assert page.ask("/").status == 401
    assert page.post("/control", command="pause").status == 401
    assert page.site.wishes.why_paused() is None


def test_wrong_tokens_of_another_site_keep_nobody_out_and_five_a_minute_are_logged(page, caplog):
    foreign = {"cookie": "", "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert [page.ask("/?token=x", **foreign).status for _ in range(7)] == [403] * 7
    assert caplog.messages.count("The page was opened with a wrong token.") == 5
    assert page.ask(f"/?token={page.token}", cookie="").status == 303


def test_wrong_tokens_are_logged_again_after_a_minute_and_sessions_end_after_half_a_day():
    now = [100.0]
    sessions = Sessions(lambda: now[0], "m")
    assert [sessions.may_log_wrong() for _ in range(6)] == [True] * 5 + [False]
    now[0] += 60
    assert sessions.may_log_wrong()
    assert [sessions.is_right("x"), sessions.is_right(f" {sessions.token}\n")] == [False, True]
    session = sessions.open()
    assert [sessions.is_open(it) for it in (session, "", None)] == [True, False, False]
    now[0] += LIFE_S
    assert not sessions.is_open(session)
    many = [sessions.open() for _ in range(33)]
    assert [sessions.is_open(many[0]), sessions.is_open(many[1])] == [False, True]


def test_long_requests_are_refused(shared_page):
    assert shared_page.post("/control", command="pause", until="x" * 3000).status == 413
    assert shared_page.ask(f"/?token={'x' * 2000}").status == 414
    assert shared_page.ask("/", X_Long="x" * 20_000).status == 431


def test_what_is_no_http_is_refused_and_not_said_on_the_terminal(shared_page, capfd):
    with socket.create_connection(("127.0.0.1", int(shared_page.host.rpartition(":")[2]))) as connection:
        connection.sendall(b"\x16\x03\x01 no http\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400")
    assert capfd.readouterr().err == ""


def test_a_page_for_other_machines_answers_to_numbers_and_not_to_names():
    bound = Bound("0.0.0.0", 7411)
    named = [
        bound.is_named_by(host) for host in ("192.0.2.1:80", "[2001:db8::1]:9", "localhost:80", "a.example", "a b")
    ]
    assert named == [True, True, True, False, False]
    assert not Bound("0.0.0.0", 7411).is_loopback


def test_a_port_in_use_is_said_at_the_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(PageError, match=f"cannot listen on 127.0.0.1, port {port}"),
            served(tmp_path, page_port=port),
        ):
            pass
    assert not (tmp_path / "page-address").exists()


def test_by_default_there_is_no_page_and_it_is_for_this_machine_alone():
    config = NodeConfig()
    assert (config.page, config.page_host) == (False, "127.0.0.1")
