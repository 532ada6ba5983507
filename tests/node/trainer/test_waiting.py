"""A trainer that is started before there is work for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from deadlines import DEADLINE_S

from paris.node.trainer import PROCESS_MODULE
from paris.node.trainer.process import AgentLines
from paris.node.trainer.waiting import WaitingTrainer


@pytest.fixture
def trainer() -> Iterator[WaitingTrainer]:
    waiting = WaitingTrainer(3)
    yield waiting
    waiting.drop()


@pytest.fixture
def lines() -> Iterator[tuple[AgentLines, int]]:
    """The trainer's ear, and the end that the agent writes to. The pipe stays open: its end would end this process."""
    reader, writer = os.pipe()
    heard = AgentLines(os.fdopen(reader, encoding="utf-8"))
    heard.listen()
    return heard, writer


def test_one_trainer_waits_and_is_given_away_once(trainer: WaitingTrainer):
    trainer.start()
    trainer.start()
    taken = trainer.take()
    assert taken is not None
    assert psutil.Process(taken.pid).is_running()
    assert trainer.take() is None
    taken.kill()
    assert not psutil.pid_exists(taken.pid)


def test_a_trainer_that_is_dropped_or_has_ended_is_not_given_away(trainer: WaitingTrainer):
    trainer.start()
    trainer.drop()
    assert trainer.take() is None
    trainer.start()
    waiting = trainer._process
    psutil.Process(waiting.pid).kill()
    waiting._process.wait(DEADLINE_S)
    assert trainer.take() is None


def test_who_does_not_want_one_gets_none():
    trainer = WaitingTrainer(3, is_wanted=False)
    trainer.start()
    assert trainer.take() is None


def test_the_trainer_yields_and_has_no_network_before_it_loads_anything(tmp_path: Path):
    (tmp_path / "torch.py").write_text(
        "import os, socket\n"
        "try:\n"
        "    socket.create_connection(('127.0.0.1', 9))\n"
        "except PermissionError as error:\n"
        "    os.write(2, f'{error} {os.nice(0)}'.encode())\n"
        "os._exit(9)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", PROCESS_MODULE, "3"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    with process:
        said = process.stderr.read()
        assert process.wait(DEADLINE_S) == 9
    assert said == f"The trainer may not use the network (socket.getaddrinfo). {os.nice(0) + 3}"


def test_a_trainer_waits_for_its_order_as_long_as_it_is_told(lines: tuple[AgentLines, int]):
    heard, writer = lines
    assert heard.order(0.0) is None
    os.write(writer, b'{"seed": 7}\n')
    assert heard.order(DEADLINE_S) == {"seed": 7}
    assert not heard.is_stopped()


def test_a_stop_in_place_of_the_order_ends_the_wait(lines: tuple[AgentLines, int]):
    heard, writer = lines
    os.write(writer, b'{"stop": true}\n')
    assert heard.order(DEADLINE_S) is None
    assert heard.is_stopped()
