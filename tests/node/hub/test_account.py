"""Which token a node sends to the run's Hub, and how it asks for one: at a real terminal, from a real Hub."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from paris.node.errors import SettingsError
from paris.node.hub.account import account_token, ask_if_refused, is_at_terminal
from paris.node.hub.tokens import PlainHttpError, hub_token, keep_typed_token, own_token
from paris.node.machine.config import NodeConfig
from paris.protocol.secrets import TokenError
from paris.protocol.signing import Identity

RIGHT, WRONG = "hub_right_0123456789abcdef", "hub_wrong_0123456789abcdef"
LAN = "http://192.0.2.7:8484"
ASK = """
import sys
from pathlib import Path
from paris.node.errors import explain
from paris.node.hub.account import ask_if_refused
try:
    token = ask_if_refused(Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None)
    print("GOT", {None: "nothing", sys.argv[3]: "the same"}.get(token, "another"), flush=True)
except Exception as error:
    print("ERROR", *explain(error), flush=True)
"""


class WhoAmI(BaseHTTPRequestHandler):
    """A Hub that knows one token."""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "")
        self.server.tokens.append(token)
        is_known = token == f"Bearer {RIGHT}"
        body = json.dumps({"name": "ada"} if is_known else {"error": "Invalid credentials"}).encode()
        self.send_response(200 if is_known else 401)
        if not is_known:
            self.send_header("X-Error-Message", "Invalid credentials in Authorization header")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def closed_hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), WhoAmI)
    server.tokens = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def at_terminal(home, endpoint: str, token: str, *typed: str) -> str:
    """What a terminal shows while the node asks, and somebody types a line at each question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASK, str(home), endpoint, token])
    shown, lines = b"", list(typed)
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
            if lines and shown.count(b"Token of ") > len(typed) - len(lines) and shown.endswith(b"without one): "):
                os.write(terminal, lines.pop(0).encode() + b"\n")
    except OSError:
        pass  # Linux says so when the other side has ended
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode()


def test_a_hub_that_wants_another_token_is_asked_for_and_the_typed_one_is_kept_for_it_alone(closed_hub, tmp_path):
    shown = at_terminal(tmp_path / "home", closed_hub.url, "own_token_of_the_node_0123456789", WRONG, RIGHT)
    assert "GOT another" in shown
    assert "The Hub does not know this token." in shown
    assert RIGHT not in shown
    assert WRONG not in shown
    kept = tmp_path / "home" / "hub_tokens.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert WRONG not in kept.read_text("utf-8")

    def find(endpoint: str) -> str | None:
        return hub_token(tmp_path / "home", NodeConfig(), {}, endpoint)

    assert find(closed_hub.url + "/") == RIGHT
    other_port = re.sub(r"\d+$", "1", closed_hub.url)
    assert [find(other) for other in (other_port, closed_hub.url.replace("http:", "https:"), LAN)] == [None] * 3


@pytest.mark.parametrize(("typed", "said"), [([""], "GOT the same"), ([WRONG] * 3, "knows none of the tokens")])
def test_what_cannot_be_used_is_not_kept(closed_hub, tmp_path, typed, said):
    shown = at_terminal(tmp_path / "home", closed_hub.url, "own_token_of_the_node_0123456789", *typed)
    assert said in shown
    assert not (tmp_path / "home").exists()


def test_a_token_that_the_hub_knows_is_not_asked_for(closed_hub, tmp_path):
    assert ask_if_refused(tmp_path, closed_hub.url, RIGHT) == RIGHT


def test_no_token_is_typed_for_a_hub_that_would_get_it_unencrypted(tmp_path):
    with pytest.raises(TokenError, match=f"The token in the terminal is not sent to {LAN}"):
        ask_if_refused(tmp_path, LAN, None)


def test_nobody_is_asked_without_a_terminal():
    assert not is_at_terminal()


def test_the_nodes_own_token_goes_over_http_only_where_the_volunteer_allows_it(tmp_path):
    ada = Identity.generate()
    with pytest.raises(PlainHttpError, match=f"The Hub {LAN} is plain http") as caught:
        account_token(tmp_path, NodeConfig(), ada, LAN)
    assert "--allow-plain-http" in caught.value.next_step
    assert account_token(tmp_path, NodeConfig(allow_plain_http=True), ada, LAN)
    for endpoint in ("http://127.0.0.1:8484", "http://[::1]:8484", "https://hub.example.org"):
        assert account_token(tmp_path, NodeConfig(), ada, endpoint) == own_token(ada, endpoint)


def test_a_given_token_is_never_sent_over_http_to_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PARIS_HUB_TOKEN", RIGHT)
    with pytest.raises(TokenError, match="is not sent to"):
        account_token(tmp_path, NodeConfig(allow_plain_http=True, hub_token_endpoint=LAN), Identity.generate(), LAN)


def test_a_damaged_file_of_typed_tokens_is_named_and_stays(tmp_path):
    path = tmp_path / "hub_tokens.json"
    path.write_text(f'{{"http://127.0.0.1:1": "{RIGHT}"')
    for use in (lambda: hub_token(tmp_path, NodeConfig(), {}, LAN), lambda: keep_typed_token(tmp_path, LAN, WRONG)):
        with pytest.raises(SettingsError, match=re.escape(str(path))) as caught:
            use()
        assert RIGHT not in str(caught.value)
    assert path.read_text().endswith('"')
