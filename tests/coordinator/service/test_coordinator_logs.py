"""What `paris-coord` shows on stderr and what it keeps in log files."""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from deadlines import DEADLINE_S
from hub_gate import wait_until

from paris.coordinator import console
from paris.coordinator.children import Program
from paris.coordinator.cli.options import event_printer
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.events import Event, EventKind

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"
COORD = (sys.executable, "-m", "paris.coordinator.cli.app")
EVENTS = (Event(EventKind.JOINED, "ada joined."), Event(EventKind.PROBLEM, "The Hub does not answer."))


@pytest.fixture(autouse=True)
def terminal_restored():
    root = logging.getLogger("paris")
    before = list(root.handlers), root.level, root.propagate, logging.raiseExceptions
    yield
    root.handlers[:], root.level, root.propagate, logging.raiseExceptions = before
    console.set_up_terminal(quiet=False, log_format="text")


def test_quiet_shows_problems_alone(capsys):
    console.set_up_terminal(quiet=True, log_format="text")
    console.say("Prepared the data.")
    for event in EVENTS:
        event_printer(False)(event)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.rstrip().endswith("problem    The Hub does not answer.")


def test_quiet_takes_nothing_from_the_data_on_stdout(capsys):
    console.set_up_terminal(quiet=True, log_format="text")
    for event in EVENTS:
        event_printer(True)(event)
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["joined", "problem"]


def test_json_format_makes_each_message_an_object_on_a_line_of_its_own(capsys):
    console.set_up_terminal(quiet=False, log_format="json")
    console.say("Prepared the data.")
    for event in EVENTS:
        event_printer(False)(event)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "info", "error"]
    assert lines[0]["message"] == "Prepared the data."
    assert lines[2]["message"].endswith("The Hub does not answer.")


def test_a_problem_is_printed_once_even_where_logging_was_not_started():
    code = "from paris.coordinator.console import say_problem; say_problem('No space left.')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S)
    assert ran.stderr == "No space left.\n"


def test_a_worker_keeps_its_traceback_in_its_own_log(tmp_path):
    code = "from paris.coordinator.console import fail_worker; fail_worker(lambda: 1 / 0)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, cwd=tmp_path)
    assert ran.returncode == 1
    assert "Traceback (most recent call last):" in ran.stderr
    assert "\nError [unexpected]: ZeroDivisionError: division by zero\n" in ran.stderr
    assert ran.stderr.rindex("Traceback") < ran.stderr.index("\nError ["), "the last lines are the short ones"


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--quiet",), ("--log-format", "json")], ids=["quiet", "json"])
def test_a_failing_step_is_one_line_on_the_terminal_and_a_traceback_in_the_log(tmp_path, options):
    run, err = tmp_path / "run", tmp_path / "stderr.txt"
    for arguments in (("init", str(run), "--recipe", str(TINY)), ("prepare", str(run))):
        subprocess.run([*COORD, "-q", *arguments], check=True, timeout=DEADLINE_S, capture_output=True)
    log = RunDir.open(run).logs / "coordinator.log"
    with err.open("wb") as stderr:
        serve = subprocess.Popen([*COORD, *options, "serve", str(run)], stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        wait_until(lambda: log.is_file() and "serving" in log.read_text(), DEADLINE_S, "serve is up")
        with sqlite3.connect(run / "state.sqlite") as database:
            database.execute("DROP TABLE flags")
        wait_until(lambda: "no such table: flags" in err.read_text(), DEADLINE_S, "the failing step is reported")
    finally:
        serve.terminate()
        assert serve.wait(DEADLINE_S) == 0
    text, shown = log.read_text(), err.read_text()
    assert "Traceback" in text
    assert "coordinator/service/loop.py" in text
    assert "Traceback" not in shown
    messages = [json.loads(line)["message"] if "json" in options else line for line in shown.splitlines()]
    if "--quiet" in options:
        assert all("problem" in message for message in messages if "OperationalError" in message)
        assert not any("serving" in message for message in messages)
    else:
        assert {json.loads(line)["level"] for line in text.splitlines()} >= {"debug", "info"}
        assert any("serving" in message for message in messages)


@pytest.mark.slow
def test_a_coordinator_whose_terminal_is_gone_goes_on_and_its_end_is_orderly(tmp_path):
    """`paris-coord serve RUN 2>&1 | head -1`, then SIGHUP."""
    run = tmp_path / "run"
    for arguments in (("init", str(run), "--recipe", str(TINY)), ("prepare", str(run))):
        subprocess.run([*COORD, "-q", *arguments], check=True, timeout=DEADLINE_S, capture_output=True)
    log = RunDir.open(run).logs / "coordinator.log"
    serve = subprocess.Popen(
        [*COORD, "-vv", "serve", str(run)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert serve.stdout.readline()
        serve.stdout.close()
        wait_until(lambda: log.is_file() and "stderr cannot be written" in log.read_text(), DEADLINE_S, "the end of it")
        wait_until(lambda: "serving" in log.read_text(), DEADLINE_S, "serve is up")
        hub = next(child for child in psutil.Process(serve.pid).children() if Program.PAGE in child.cmdline())
        hub.kill()
        wait_until(lambda: "it was restarted" in log.read_text(), DEADLINE_S, "the service still works")
        serve.send_signal(signal.SIGHUP)
        assert serve.wait(DEADLINE_S) == 0
    finally:
        if serve.poll() is None:
            serve.kill()
            serve.wait(DEADLINE_S)
