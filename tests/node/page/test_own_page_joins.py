"""The page of a node that joins: where the volunteer wants it, and nowhere else."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from urllib.parse import urlsplit

import pytest
from deadlines import DEADLINE_S
from own_page_world import Answer

from paris.node.control.wishes import Wishes
from paris.node.join.answers import Answers
from paris.node.join.own_page import OwnPage
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.retry import StopSignal
from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.node.view.views import PlainView
from paris.protocol.streams import SafeStream


@pytest.fixture
def own_page(capsys):
    board = Board()
    return OwnPage(Answers(Wishes(StopSignal()), board), board, Course(), PlainView(sys.stderr))


def test_the_address_is_printed_once_and_the_page_ends_with_the_node(own_page, tmp_path, capsys):
    with own_page.served(Home(tmp_path), NodeConfig(page=True, page_port=0)):
        said = capsys.readouterr().err
        address = urlsplit(said.strip().rpartition(" ")[2])
        assert said == f"This node's page: http://{address.netloc}/?token={address.query[6:]}\n"
        assert ask(address.netloc, "/").status == 401
    with pytest.raises(ConnectionRefusedError):
        ask(address.netloc, "/")


def test_the_printed_address_has_the_token_which_all_else_leaves_out(own_page, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stderr", SafeStream(writer, "stderr"))
    with own_page.served(Home(tmp_path), NodeConfig(page=True, page_port=0)):
        said = os.read(reader, 4096).decode()
        assert said.split()[-1] == (tmp_path / "page-address").read_text().strip()
    os.close(reader)
    os.close(writer)


def test_without_the_setting_nothing_listens_and_nothing_is_said(own_page, tmp_path, capsys):
    with own_page.served(Home(tmp_path), NodeConfig()):
        assert capsys.readouterr().err == ""
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_a_real_node_is_paused_and_told_to_finish_on_its_page(make_coordinator, start, tmp_path, monkeypatch):
    """Shorter: test_forms_do_what_the_control_socket_does."""
    coordinator = make_coordinator(100_000)
    coordinator.leg_steps = 600
    monkeypatch.setenv("PARIS_NODE_DRAW_EVERY_STEPS", "5")
    node = start("--page", "--page-port", "0")
    node.wait_for("snapshot")
    address = urlsplit((tmp_path / "home" / "page-address").read_text().strip())
    cookie = ask(address.netloc, f"/?{address.query}").headers["Set-Cookie"].partition(";")[0]
    page = ask(address.netloc, "/", cookie).text
    assert "expert-0: training" in page
    assert "/pictures/expert-0/5.png" in page, "what the expert drew before its first snapshot at step 10"
    assert ask(address.netloc, "/control", cookie, "command=pause").status == 303
    node.wait_for("paused", reason="asked")
    assert "expert-0: paused" in ask(address.netloc, "/", cookie).text
    assert ask(address.netloc, "/control", cookie, "command=finish").status == 303
    assert node.wait_end() == 0
    assert not (tmp_path / "home" / "page-address").exists()
    assert address.query[6:] not in (tmp_path / "home" / "logs" / "node.log").read_text()


def ask(host: str, path: str, cookie: str = "", form: str | None = None) -> Answer:
    """What a browser with this cookie is answered."""
    headers = {"Cookie": cookie, "Origin": f"http://{host}"}
    with contextlib.closing(http.client.HTTPConnection(host, timeout=DEADLINE_S)) as connection:
        connection.request("GET" if form is None else "POST", path, form, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
