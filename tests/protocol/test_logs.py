"""Log lines: short on stderr, complete in a bounded file; logging never stops the program."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.protocol import logs

LOGGER = logging.getLogger("paris.test")


@pytest.fixture(autouse=True)
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger("paris")
    before = list(root.handlers), root.level, root.propagate, logging.raiseExceptions
    yield
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:], root.level, root.propagate, logging.raiseExceptions = before


def log_a_failure():
    try:
        raise ValueError("no such cluster: 7")
    except ValueError:
        LOGGER.debug("The step failed.", exc_info=True)


def test_the_file_holds_the_traceback_and_stderr_stays_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    logs.start_logging()
    logs.log_to_file(tmp_path / "logs" / "node.log")
    log_a_failure()
    LOGGER.warning("The Hub does not answer.")
    text = (tmp_path / "logs" / "node.log").read_text()
    assert "Traceback" in text
    assert "no such cluster: 7" in text
    assert "The Hub does not answer." in text
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "The Hub does not answer." in err


@pytest.mark.parametrize(("verbosity", "shown"), [(-1, 1), (0, 2), (1, 3), (2, 4)])
def test_verbosity_chooses_what_stderr_shows(verbosity: int, shown: int, capsys: pytest.CaptureFixture[str]):
    logs.start_logging(verbosity)
    for level in (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        LOGGER.log(level, "A line.")
    assert capsys.readouterr().err.count("A line.") == shown


def test_json_lines_can_be_read_by_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    logs.start_logging(2, "json")
    logs.log_to_file(tmp_path / "node.log")
    log_a_failure()
    for line in (capsys.readouterr().err, (tmp_path / "node.log").read_text()):
        fields = json.loads(line)
        assert fields["level"] == "debug"
        assert fields["logger"] == "paris.test"
        assert fields["message"] == "The step failed."
        assert "ValueError: no such cluster: 7" in fields["traceback"]


def test_what_a_program_prints_itself_is_in_the_file_and_not_twice_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    logs.start_logging(2)
    logs.log_to_file(tmp_path / "node.log")
    LOGGER.error("Printed.", extra=logs.PRINTED)
    assert "Printed." in (tmp_path / "node.log").read_text()
    assert capsys.readouterr().err == ""


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "_FILE_BYTES", 2000)
    logs.start_logging(-1)
    logs.log_to_file(tmp_path / "node.log")
    for number in range(1000):
        LOGGER.info("Line %d.", number)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 4
    assert max(sizes) <= 2000
    assert "Line 999." in (tmp_path / "node.log").read_text()


def test_a_log_file_that_cannot_be_made_is_named_and_work_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "logs").write_text("a file, not a folder")
    logs.start_logging()
    logs.log_to_file(tmp_path / "logs" / "node.log")
    LOGGER.warning("Work goes on.")
    err = capsys.readouterr().err
    assert "No log file" in err
    assert "Work goes on." in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_stream_that_cannot_be_written_does_not_stop_the_work():
    code = (
        "import logging; from paris.protocol import logs; logs.start_logging(2);"
        "[logging.getLogger('paris.x').error('line') for _ in range(3)]; print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", code], stderr=full, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
    assert ran.stdout == "went on\n"
