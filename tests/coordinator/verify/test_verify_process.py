"""Verification as the coordinator runs it: child processes that judge one case after another, and are replaced."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import psutil
import pytest
from deadlines import DEADLINE_S
from verify_attempt import Attempt

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import VerificationCrashError, WorkerError
from paris.coordinator.service.verifying import VerifyingProcesses
from paris.coordinator.verify import VerificationAnswer, VerificationRequest, read_report, write_case
from paris.coordinator.verify import __main__ as verify_main


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    made = Children(tmp_path_factory.mktemp("logs"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def processes(children):
    return VerifyingProcesses(children)


def run(processes, case, folder):
    write_case(case, folder / "case.json")
    request = VerificationRequest(
        case=folder / "case.json", report=folder / "out.json", log=folder / "log", token=case.token
    )
    processes.verify(request)
    return read_report(folder / "out.json")


def running() -> list[psutil.Process]:
    below = psutil.Process().children()
    return [child for child in below if "paris.coordinator.verify" in child.cmdline()]


def test_one_process_judges_one_case_after_another_and_is_replaced_when_it_was_killed(world, processes, tmp_path):
    report = run(processes, Attempt.honest(world, 0).submit(), tmp_path)
    assert report.accepted
    assert len(report.commit) == 40
    assert stat.S_IMODE((tmp_path / "case.json").stat().st_mode) == 0o600
    assert "skill passed in " in (tmp_path / "log").read_text("utf-8")
    (first,) = running()

    attempt = Attempt.honest(world, 0)
    attempt.facts = {"attempt": 2}
    assert not run(processes, attempt.submit(), tmp_path).accepted
    assert running() == [first]
    assert world.admin_token not in (tmp_path / "out.json").read_text() + " ".join(first.cmdline())
    assert world.admin_token not in first.environ().values()

    first.kill()
    first.wait(DEADLINE_S)
    assert run(processes, Attempt.honest(world, 0).submit(), tmp_path).accepted
    assert len(running()) == 1


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
def test_what_could_not_be_verified_is_an_error_without_a_verdict(world, processes, tmp_path, change, says):
    case = Attempt.honest(world, 0).submit()
    with pytest.raises(WorkerError, match=says):
        run(processes, case.model_copy(update=change(case)), tmp_path)
    with pytest.raises(WorkerError):
        read_report(tmp_path / "out.json")


@pytest.mark.parametrize(
    ("end", "is_crash"), [("raise KeyError(1)", True), ("os.abort()", True), ("os.kill(os.getpid(), 9)", False)]
)
def test_a_process_that_breaks_down_is_told_from_one_that_was_ended(monkeypatch, tmp_path, end, is_crash):
    (tmp_path / "ends.py").write_text(f"import os\ninput()\n{end}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    children = Children(tmp_path)
    monkeypatch.setattr("paris.coordinator.service.verifying.Program", SimpleNamespace(VERIFY="ends"))
    request = VerificationRequest(case=tmp_path / "case.json", report=tmp_path / "out.json", log=tmp_path / "log")
    with pytest.raises(WorkerError, match="ended with code") as raised:
        VerifyingProcesses(children).verify(request)
    assert isinstance(raised.value, VerificationCrashError) == is_crash
    children.stop()


def test_a_process_that_writes_what_is_no_answer_is_replaced_and_does_not_hold_up_the_service(monkeypatch, tmp_path):
    answer = VerificationAnswer(exit_code=0).model_dump_json()
    script = f"import pathlib\nstarts = pathlib.Path({str(tmp_path / 'starts')!r})\n"
    script += "first = not starts.exists()\nstarts.touch()\nwhile input():\n"
    script += f"    print('warning: odd' if first else {answer!r}, flush=True)\n"
    (tmp_path / "chatty.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    children = Children(tmp_path)
    monkeypatch.setattr("paris.coordinator.service.verifying.Program", SimpleNamespace(VERIFY="chatty"))
    request = VerificationRequest(case=tmp_path / "case.json", report=tmp_path / "out.json", log=tmp_path / "log")
    processes = VerifyingProcesses(children)
    with pytest.raises(VerificationCrashError, match="answered 'warning: odd', which is no answer"):
        processes.verify(request)
    assert children._running == {}
    processes.verify(request)
    children.stop()


def test_memory_that_runs_out_is_an_answer(monkeypatch, tmp_path):
    request = VerificationRequest(case=tmp_path / "case.json", report=tmp_path / "out.json", log=tmp_path / "log")
    line = request.model_dump_json().encode()
    for error in (MemoryError("12 GiB"), RuntimeError("CUDA out of memory")):
        monkeypatch.setattr(verify_main, "read_case", mock.Mock(side_effect=error))
        answered = verify_main._answer(line)
        assert (answered.exit_code, answered.message) == (WorkerError.exit_code, f"Out of memory: {error}")
    monkeypatch.setattr(verify_main, "read_case", mock.Mock(side_effect=RuntimeError("odd")))
    with pytest.raises(RuntimeError, match="odd"):
        verify_main._answer(line)


def test_a_broken_case_file_is_named(processes, tmp_path):
    (tmp_path / "case.json").write_text("{}")
    request = VerificationRequest(case=tmp_path / "case.json", report=tmp_path / "out.json", log=tmp_path / "log")
    with pytest.raises(WorkerError, match=f"ended with code 60: {tmp_path / 'case.json'} is not a verification case"):
        processes.verify(request)


def test_a_process_ends_with_the_service_in_the_middle_of_a_case(world, tmp_path):
    children = Children(tmp_path)
    child = children.spawn("verify", Program.VERIFY, answers=True)
    case = Attempt.honest(world, 0).submit()
    write_case(case, tmp_path / "case.json")
    request = VerificationRequest(case=tmp_path / "case.json", report=tmp_path / "out.json", log=tmp_path / "log")
    child.stdin.write(request.model_dump_json().encode() + b"\n")
    child.stdin.close()
    assert child.wait(DEADLINE_S) != 0
    children.forget(child)


def test_the_package_itself_imports_no_torch():
    code = "import sys, paris.coordinator.verify; sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=DEADLINE_S, check=False).returncode == 0
