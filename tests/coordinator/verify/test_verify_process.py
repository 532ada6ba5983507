"""Verification as the coordinator runs it: a child process, JSON in and out, one line when it cannot be done."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S
from verify_attempt import Attempt

from paris.coordinator.errors import WorkerError
from paris.coordinator.verify import read_report, write_case


def run(case, folder):
    write_case(case, folder / "case.json")
    command = [sys.executable, "-m", "paris.coordinator.verify", str(folder / "case.json"), str(folder / "out.json")]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_the_child_process_writes_a_report_and_ends_with_0(world, tmp_path):
    ended = run(Attempt.honest(world, 0).submit(), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    report = read_report(tmp_path / "out.json")
    assert report.accepted
    assert len(report.commit) == 40
    assert stat.S_IMODE((tmp_path / "case.json").stat().st_mode) == 0o600
    assert world.admin_token not in (tmp_path / "out.json").read_text() + ended.stderr


def test_a_rejection_ends_with_0_too(world, tmp_path):
    attempt = Attempt.honest(world, 0)
    attempt.facts = {"attempt": 2}
    ended = run(attempt.submit(), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert not read_report(tmp_path / "out.json").accepted


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


TROUBLE = {
    "Hub down": (lambda case: {"hub_endpoint": f"http://127.0.0.1:{closed_port()}"}, "did not give pull request "),
    "secret rows missing": (
        lambda case: {"heldout": case.heldout[:-1] + (case.work_dir / "none.parquet",)},
        "is missing",
    ),
}


@pytest.mark.parametrize(("change", "says"), TROUBLE.values(), ids=TROUBLE)
def test_what_could_not_be_verified_ends_with_an_error_one_line_and_no_verdict(world, tmp_path, change, says):
    case = Attempt.honest(world, 0).submit()
    ended = run(case.model_copy(update=change(case)), tmp_path)
    assert ended.returncode not in (0, 1, 2)
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("Could not verify expert-0 attempt 1: ")
    assert says in last
    with pytest.raises(WorkerError):
        read_report(tmp_path / "out.json")


def test_a_broken_case_file_is_named_in_one_line(tmp_path):
    (tmp_path / "case.json").write_text("{}")
    command = [
        sys.executable,
        "-m",
        "paris.coordinator.verify",
        str(tmp_path / "case.json"),
        str(tmp_path / "out.json"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 60
    assert "Traceback" not in ended.stderr
    assert str(tmp_path / "case.json") in ended.stderr


def test_the_package_itself_imports_no_torch():
    code = "import sys, paris.coordinator.verify; sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=DEADLINE_S, check=False).returncode == 0
