"""The control socket: who may use it, what it answers, and what stands in its place after a crash."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading

import pytest
from deadlines import DEADLINE_S
from typer.testing import CliRunner

from paris.node.cli import app
from paris.node.control.address import SOCKET_NAME
from paris.node.control.client import ask
from paris.node.control.messages import Reply, Request
from paris.node.control.server import control_socket
from paris.node.control.wishes import Wishes
from paris.node.errors import ControlError, NotRunningError
from paris.node.join.answers import Answers
from paris.node.retry import StopSignal
from paris.node.view import EventKind
from paris.node.view.board import Board


@pytest.fixture
def board() -> Board:
    board = Board()
    board.note(EventKind.WAITING, {"text": "No task is open; waiting for one."})
    return board


@pytest.fixture
def wishes() -> Wishes:
    return Wishes(StopSignal())


@pytest.fixture
def home(tmp_path, wishes, board):
    with control_socket(tmp_path, Answers(wishes, board)):
        yield tmp_path


def command(*words: str, home) -> object:
    return CliRunner().invoke(app, [*words, "--home", str(home)])


def test_another_shell_pauses_and_resumes_the_node(home, wishes):
    assert "Paused: you asked for it." in command("pause", home=home).output
    assert wishes.why_paused().reason == "asked"
    assert "Training goes on." in command("resume", home=home).output
    assert wishes.why_paused() is None


def test_a_pause_ends_when_its_time_is_over(home, wishes):
    paused = command("pause", "--for", "2h", home=home)
    assert "Paused: you asked for it, until " in paused.output
    assert wishes.why_paused().until is not None


def test_finish_and_leave_reach_the_node(home, wishes):
    assert command("finish", home=home).exit_code == 0
    assert (wishes.is_finishing, wishes.stop.is_set) == (True, False)
    assert command("leave", home=home).exit_code == 0
    assert (wishes.is_leaving, wishes.stop.is_set) == (True, True)


def test_status_shows_the_running_node(home):
    first, second, *_ = command("status", home=home).output.splitlines()
    assert first == f"Running (process {os.getpid()}). No task is open; waiting for one."
    assert second == "waiting"
    running = json.loads(command("status", "--json", home=home).output)["running"]
    assert (running["state"], running["pid"]) == ("waiting", os.getpid())


def test_a_node_that_has_not_joined_cannot_give_its_task_back(tmp_path, wishes):
    with control_socket(tmp_path, Answers(wishes, Board())):
        refused = command("leave", home=tmp_path)
    assert refused.exit_code == ControlError.exit_code
    assert not wishes.is_leaving


def test_only_the_owner_can_open_the_socket(home):
    assert stat.S_IMODE((home / SOCKET_NAME).stat().st_mode) == 0o600


def test_the_socket_of_a_dead_node_is_no_node_and_gives_way_to_the_next(tmp_path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / SOCKET_NAME))
    dead.close()
    assert (tmp_path / SOCKET_NAME).exists()
    with pytest.raises(NotRunningError):
        ask(tmp_path, Request(command="status"))
    with control_socket(tmp_path, lambda request: Reply(text=request.command)):
        assert ask(tmp_path, Request(command="status")).text == "status"
    assert not (tmp_path / SOCKET_NAME).exists()


def test_a_home_with_a_long_path_has_a_socket_too(tmp_path):
    home = tmp_path / ("deep" * 20) / ("deeper" * 20)
    home.mkdir(parents=True)
    with control_socket(home, lambda request: Reply(text=request.command)):
        assert ask(home, Request(command="resume")).text == "resume"


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b'{"command": "format-disk"}\n', b"\xff\xfe" * 50_000, b'{"version": 2}\n']
)
def test_what_is_no_request_is_refused_and_changes_nothing(home, wishes, line):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home / SOCKET_NAME))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        reply = json.loads(connection.makefile("rb").readline())
    assert not reply["is_ok"]
    assert "speaks version 1" in reply["text"]
    assert (wishes.why_paused(), wishes.stop.is_set, wishes.is_finishing) == (None, False, False)


def test_a_client_that_says_nothing_keeps_nobody_waiting(home):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(home / SOCKET_NAME))
        answered = threading.Thread(target=ask, args=(home, Request(command="status")))
        answered.start()
        answered.join(DEADLINE_S)
        assert not answered.is_alive()


@pytest.mark.parametrize("words", [["pause"], ["resume"], ["finish"], ["leave"]])
def test_without_a_node_commands_for_it_say_so(tmp_path, words):
    said = command(*words, home=tmp_path)
    assert said.exit_code == NotRunningError.exit_code
    assert "No node runs in the home" in said.output


def test_the_log_is_read_from_the_home(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "node.log").write_text("one\ntwo\nthree \x1b[31m\n", "utf-8")
    assert command("log", "-n", "2", home=tmp_path).output == "two\nthree \\x1b[31m\n"
    assert json.loads(command("log", "-n", "1", "--json", home=tmp_path).output) == {"line": "three \x1b[31m"}
