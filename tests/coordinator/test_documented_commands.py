"""The command lines of the documents run as they are written, in one run directory and one home."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from deadlines import DEADLINE_S
from released_run import prepared_run, release
from typer.testing import CliRunner

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "house"))
from command_lines import programs  # noqa: E402
from documented_lines import ELSEWHERE, documented_lines, place_of, runs_in_the_world  # noqa: E402

from paris.coordinator.cli.app import app as organiser  # noqa: E402
from paris.coordinator.console import fail_clearly  # noqa: E402
from paris.coordinator.run.directory import RunDir  # noqa: E402
from paris.node.cli import app as volunteer  # noqa: E402
from paris.protocol.lifeline import child_environment  # noqa: E402

STAND_INS = {
    " --open": "",  # would open a browser
    " --watch": "",  # would wait for the end of the run
    "expert-3": "expert-1",  # the world has two experts
    "mallory": "ab" * 32,  # the whole key of a volunteer who has not come
    "5f1c2a": "cd" * 32,
    "--model student": "--model runs/mine/release",
}
REFUSED = {
    r"paris-coord release": "not-ready",  # nobody has handed in an expert
    r"paris-coord (revoke|unregister|roll-back|recheck)": "not-ready",  # there is no lease, no registration, no leg
    r"paris-coord withdraw-invite": "run-config",  # an id is made by chance
    r"paris-coord plan .*--pictures": "run-config",  # the data is prepared
    r"paris-coord clusters": "run-directory",  # the world's data has no page
    r"paris-coord dropped": "not-prepared",  # nothing was dropped
    r"paris-node identity restore": "identity",  # the home has an identity
}
"""Lines that are understood and refused in this world, with the error that says so; every other line ends with 0."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """runs/mine and runs/emoji are one run with a release; the current folder holds them."""
    made = prepared_run(tmp_path / "made")
    (tmp_path / "runs").mkdir()
    made.path.rename(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "emoji").symlink_to("mine")
    release(RunDir.open(tmp_path / "runs" / "mine"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARIS_HOME", str(tmp_path / "home"))


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and what was said on stderr."""
    program, *arguments = shlex.split(line)
    if program == "paris-node":
        done = CliRunner().invoke(volunteer, arguments, input="a long passphrase\na long passphrase\n")
        return done.exit_code, done.stderr
    with pytest.raises(SystemExit) as ended:
        fail_clearly(organiser, arguments)
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.usefixtures("world")
def test_documented_command_lines_run_in_order(capsys):
    lines = [line for line in documented_lines() if runs_in_the_world(line)]
    assert len(lines) > 25
    unexpected = []
    for line in lines:
        said_as = line
        for name, stand_in in STAND_INS.items():
            said_as = said_as.replace(name, stand_in)
        code, said = run(said_as, capsys)
        error = next((error for pattern, error in REFUSED.items() if re.match(pattern, line)), None)
        if f"Error [{error}]:" not in said if error else code != 0:
            unexpected.append((line, code, said))
    assert unexpected == []


def test_the_documented_hub_answers(tmp_path):
    (line,) = [line for line in documented_lines() if line.startswith("paris-coord hub ")]
    arguments = shlex.split(line.replace("--port 8484", "--port 0"))[1:]
    hub = subprocess.Popen(
        [sys.executable, "-m", "paris.coordinator.cli.app", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=child_environment(),
    )  # fmt: skip
    try:
        url = hub.stdout.readline().decode().split()[-1]
        assert httpx2.get(f"{url}/api/models", timeout=DEADLINE_S).status_code == 200
    finally:
        hub.terminate()
        hub.wait(DEADLINE_S)
        hub.stdin.close()
        hub.stdout.close()
    assert (tmp_path / "hubdata" / "admin.token").is_file()


def test_every_documented_line_is_run_or_has_a_reason():
    """A new line of a document: add it to `house/documented_lines.py`."""
    assert [line for line in documented_lines() if place_of(line) is None] == []


@pytest.mark.parametrize(("pattern", "place"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_the_other_test_runs_the_command(pattern, place):
    text = (TESTS / place).read_text("utf-8")
    lines = [line for line in documented_lines() if place_of(line) == place and re.match(pattern, line)]
    assert lines, "no document has such a line any more"
    commands = {(line.split()[0], word) for line in lines for word in line.split() if word in commands_of(line)}
    unnamed = [pair for pair in commands if f'"{pair[1]}"' not in text and f'"{" ".join(pair)}' not in text]
    assert unnamed == []


def commands_of(line: str) -> set[str]:
    program = programs().get(line.split()[0])
    return set() if program is None else set(program.commands)


def test_make_targets_of_the_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", (TESTS.parent / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {found[1] for line in documented_lines() if (found := re.match(r"(?:\S+=\S+ )?make ([a-z-]+)", line))}
    assert named - targets == set()
