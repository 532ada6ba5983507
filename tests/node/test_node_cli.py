from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S

from paris.node.errors import ResolveError
from paris.protocol.errors import NoPeersError
from paris.protocol.version import SOFTWARE_VERSION

COMMAND = [sys.executable, "-c", "from paris.node.cli import main; main()"]


def run_node(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, **environ},
        check=False,
    )


def test_help_comes_in_half_a_second_and_imports_nothing_heavy():
    # Processor time, so that a busy machine does not decide; on an idle one it is what the clock shows.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "join" in run_node("--help").stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    heavy = ("torch", "hivemind", "huggingface_hub", "pydantic")
    probe = f"import sys, paris.node.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_error_is_one_line_with_a_next_step_and_an_exit_code(tmp_path):
    done = run_node("join", "no-such-run", "--home", str(tmp_path))
    assert done.returncode == ResolveError.exit_code
    assert "Error [run-not-found]: 'no-such-run' is neither" in done.stderr
    logged = (tmp_path / "logs" / "node.log").read_text("utf-8")
    assert "Error [run-not-found]: 'no-such-run' is neither" in logged
    assert "Traceback" not in done.stdout + done.stderr + logged, "the sentence says all"
    assert "Traceback" in run_node("join", "no-such-run", "--home", str(tmp_path), PARIS_DEBUG="1").stderr


def test_the_log_file_has_the_traceback_and_the_terminal_only_what_v_asks_for(tmp_path):
    log = tmp_path / "logs" / "node.log"
    (tmp_path / "config.toml").write_text("threads = ", "utf-8")
    quiet = run_node("join", "no-such-run", "--home", str(tmp_path))
    assert "Traceback" in log.read_text("utf-8")
    assert "TOMLDecodeError" in log.read_text("utf-8")
    assert len(quiet.stderr.splitlines()) == 1
    told = run_node("-v", "join", "no-such-run", "--home", str(tmp_path)).stderr.splitlines()
    assert [line.split()[1] for line in told] == ["INFO", "Error"]
    assert "Traceback" in run_node("-vv", "join", "no-such-run", "--home", str(tmp_path)).stderr


def test_with_log_format_json_every_line_of_stderr_and_of_the_log_is_an_object(tmp_path):
    (tmp_path / "config.toml").write_text("threads = ", "utf-8")
    done = run_node("-v", "--log-format", "json", "join", "no-such-run", "--home", str(tmp_path))
    assert [json.loads(line).get("level", "event") for line in done.stderr.splitlines()] == ["info", "event"]
    lines = (tmp_path / "logs" / "node.log").read_text("utf-8").splitlines()
    assert any("traceback" in json.loads(line) for line in lines)


def test_with_json_the_error_is_an_event_on_stdout(tmp_path):
    done = run_node("join", "no-such-run", "--home", str(tmp_path), "--json")
    event = json.loads(done.stdout.splitlines()[-1])
    assert (event["event"], event["type"]) == ("error", "ResolveError")
    assert event["exit_code"] == done.returncode


def test_no_peer_that_answers_is_a_clear_error_and_loses_nothing(tmp_path, make_spec):
    (tmp_path / "run.json").write_bytes(make_spec().data)
    home = tmp_path / "home"
    done = run_node("join", str(tmp_path / "run.json"), "--home", str(home), PARIS_NODE_MAX_TRIES="1")
    assert done.returncode == NoPeersError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert (home / "identity.key").exists()


def test_identity_show_makes_one_and_then_shows_the_same(tmp_path):
    shown = [run_node("identity", "show", "--home", str(tmp_path)).stdout for _ in range(2)]
    assert shown[0] == shown[1]
    assert len(shown[0].strip()) == 64


def test_status_without_runs_says_how_to_begin(tmp_path):
    assert "paris-node join RUN" in run_node("status", "--home", str(tmp_path)).stdout
    assert json.loads(run_node("status", "--home", str(tmp_path), "--json").stdout) == {"running": None, "tasks": []}


@pytest.mark.parametrize(
    ("module", "program"), [("paris.node.cli", "paris-node"), ("paris.coordinator.cli.app", "paris-coord")]
)
def test_the_version_and_a_short_help(module, program):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)

    assert run("--version").stdout == f"{program} {SOFTWARE_VERSION}\n"
    assert "Usage" in run("-h").stdout
    assert "Usage" in run("status", "-h").stdout
