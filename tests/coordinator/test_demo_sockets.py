"""Counting connections: between volunteers, within one, and of a trainer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paris.coordinator.demo.sockets import SocketWatch
from paris.node.trainer import PROCESS_MODULE

TALKER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
wish = sys.stdin.readline().strip()
other = server.accept() if wish == "accept" else socket.create_connection(("127.0.0.1", int(wish))) if wish else None
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def talkers():
    started = []

    def start(*extra: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", TALKER, *extra]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.communicate()


def tell(process: subprocess.Popen[str], wish: str) -> None:
    process.stdin.write(wish + "\n")
    process.stdin.flush()


def test_a_connection_between_two_volunteers_is_seen_at_both_ends(talkers):
    ada, ben = talkers(), talkers()
    port = ada.stdout.readline().strip()
    ben.stdout.readline()
    tell(ada, "accept")
    tell(ben, port)
    assert [process.stdout.readline().strip() for process in (ada, ben)] == ["ready", "ready"]
    watch = SocketWatch()
    watch.look({"ada": ada.pid, "ben": ben.pid})
    assert (watch.between_volunteers, watch.off_loopback) == (2, 0)


def test_a_connection_within_one_volunteer_is_not_counted(talkers):
    ada = talkers()
    port = ada.stdout.readline().strip()
    tell(ada, port)
    assert ada.stdout.readline().strip() == "ready"
    watch = SocketWatch()
    watch.look({"ada": ada.pid})
    assert watch.between_volunteers == 0


def test_a_trainer_with_a_socket_is_seen(talkers):
    trainer = talkers(PROCESS_MODULE)
    trainer.stdout.readline()
    watch = SocketWatch()
    watch.look({"ada": trainer.pid})
    assert (watch.looks, watch.trainer_sockets) == (1, 1)


def test_a_process_that_has_ended_is_skipped():
    watch = SocketWatch()
    watch.look({"ada": 2**22 + 1})
    assert watch.as_dict() == {"looks": 0, "trainer_sockets": 0, "between_volunteers": 0, "off_loopback": 0}
