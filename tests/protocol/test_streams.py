"""Standard streams that break, fill or stall never stop the work; a child's output stays bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.protocol import streams
from paris.protocol.child_output import ChildOutput
from paris.protocol.signals import stop_signals
from paris.protocol.streams import SafeStream

WORK = """
import logging, sys
from pathlib import Path
from paris.protocol.logs import log_to_file, start_logging
from paris.protocol.streams import protect_streams
protect_streams()
start_logging(2)
log_to_file(Path(sys.argv[1]) / "work.log")
opened = open(Path(sys.argv[1]) / "fd", "w")
for number in range(300):
    print("out", number, flush=True)
    print("err", number, file=sys.stderr)
    logging.getLogger("paris.x").error("line %d", number)
opened.write(str(opened.fileno()))
"""


def work(folder: Path, **streams_of_child: object) -> str:
    """Run a program that prints; returns its log file."""
    ran = subprocess.run([sys.executable, "-c", WORK, str(folder)], timeout=DEADLINE_S, check=False, **streams_of_child)
    assert ran.returncode == 0
    assert int((folder / "fd").read_text()) > 2
    return (folder / "work.log").read_text()


def test_streams_whose_reader_has_left_are_dropped_and_the_log_tells(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    log = work(tmp_path, stdout=writing, stderr=writing)
    os.close(writing)
    assert "line 299" in log
    for name in ("stdout", "stderr"):
        assert log.count(f"{name} cannot be written (Broken pipe)") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_streams_are_dropped(tmp_path):
    with Path("/dev/full").open("w") as full:
        log = work(tmp_path, stdout=full, stderr=full)
    assert "line 299" in log
    assert "stderr cannot be written (No space left on device)" in log


def test_closed_streams_give_their_numbers_to_no_file(tmp_path):
    shell = ["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', sys.executable, "-c", WORK, str(tmp_path)]
    assert subprocess.run(shell, timeout=DEADLINE_S, check=False).returncode == 0
    assert int((tmp_path / "fd").read_text()) > 2
    assert (tmp_path / "work.log").read_text().count("line") == 300


def test_a_stream_that_nobody_reads_is_left_out_until_somebody_does(monkeypatch):
    monkeypatch.setattr(streams, "_STALL_S", 0.05)
    reading, writing = os.pipe()
    stream = SafeStream(writing, "stderr")
    for _ in range(40):
        stream.write("x" * 4096)
    assert len(os.read(reading, 1 << 20)) <= 1 << 16
    stream.write("read again\n")
    assert os.read(reading, 1 << 20).endswith(b"read again\n")
    os.close(reading)
    os.close(writing)


def test_a_command_whose_work_is_its_output_fails_with_it_and_ends_well_with_its_reader():
    reading, writing = os.pipe()
    stream = SafeStream(writing, "stdout")
    stream.is_needed = True
    os.close(reading)
    with pytest.raises(SystemExit) as ended:
        stream.write("line\n")
    assert ended.value.code == 0
    os.close(writing)
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            stream = SafeStream(full.fileno(), "stdout")
            stream.is_needed = True
            with pytest.raises(OSError, match="No space left on device: 'stdout'"):
                stream.write("line\n")


def test_a_text_outside_the_encoding_is_written_as_escapes():
    reading, writing = os.pipe()
    SafeStream(writing, "stderr", "ascii").write("caf\u00e9 \ud83d\n")
    assert os.read(reading, 99) == b"caf\\xe9 \\ud83d\n"
    os.close(reading)
    os.close(writing)


def test_the_output_of_a_child_stays_bounded_and_its_last_line_is_known(tmp_path):
    path, code = tmp_path / "child.log", "for n in range(3000): print('line', n)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0)
    output = ChildOutput(os.fdopen(os.dup(child.stdout.fileno()), "rb"), path, max_bytes=1 << 13)
    child.wait(DEADLINE_S)
    output.wait()
    child.stdout.close()
    assert output.last_line == "line 2999"
    assert output.beginning.startswith("line 0\n")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * (1 << 16)


def test_a_child_whose_output_has_no_place_is_not_disturbed(tmp_path):
    code = "import sys; print('x' * 10**6); sys.exit(3)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    output = ChildOutput(child.stdout, tmp_path / "missing" / "child.log")
    assert child.wait(DEADLINE_S) == 3
    output.wait()
    assert output.last_line == "x" * 2000 or output.last_line == "x" * 1999


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_process_under_nohup_goes_on_when_its_terminal_closes():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert set(stop_signals()) == {signal.SIGINT, signal.SIGTERM}
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # not the one before: pytest itself may run under nohup
        assert stop_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
