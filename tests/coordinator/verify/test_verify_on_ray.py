"""`serve --ray`: verifications and router trainings are computed by a Ray cluster, with the same results and errors."""

from __future__ import annotations

import importlib.util
import socket

import pytest
from test_verify_process import run
from verify_attempt import Attempt

from benchmarks.local_ray import local_ray
from paris.coordinator.children import Children, Program, RayCluster
from paris.coordinator.errors import VerificationCrashError, WorkerError
from paris.coordinator.service.verifying import VerifyingProcesses
from paris.coordinator.verify import VerificationRequest


def verify(children, folder):
    request = VerificationRequest(case=folder / "case.json", report=folder / "out.json", log=folder / "log")
    VerifyingProcesses(children).verify(request)


def train_router(children, folder):
    children.run("router", Program.ROUTER, str(folder / "none"), "data")


@pytest.mark.parametrize("work", [verify, train_router])
def test_a_cluster_that_does_not_answer_is_trouble_of_the_organisers(tmp_path, work):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    children = Children(tmp_path, RayCluster(address))
    with pytest.raises(WorkerError, match=rf"The Ray cluster {address} cannot be used: .*ray status") as raised:
        work(children, tmp_path)
    assert not isinstance(raised.value, VerificationCrashError), "no submission is refused for it"
    children.stop()


def test_other_programs_stay_on_this_machine(tmp_path):
    children = Children(tmp_path, RayCluster("127.0.0.1:1"))
    with pytest.raises(WorkerError, match="release ended with code") as raised:
        children.run("release", Program.RELEASE, str(tmp_path / "none"))
    assert "Ray" not in str(raised.value)
    children.stop()


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
def test_two_ray_nodes_verify_and_fail_as_this_machine_does(world, tmp_path, monkeypatch):
    with local_ray(2) as (address, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        children = Children(tmp_path / "logs", RayCluster(address))
        processes = VerifyingProcesses(children)
        report = run(processes, Attempt.honest(world, 0).submit(), tmp_path)
        assert report.accepted
        (tmp_path / "case.json").write_text("{}")
        with pytest.raises(WorkerError, match=r"ended with code 60: .* is not a verification case"):
            verify(children, tmp_path)
        said = []
        for where in (Children(tmp_path / "here"), children):
            with pytest.raises(WorkerError) as raised:
                train_router(where, tmp_path)
            said.append(raised.value.what)
        assert said[0] == said[1]
        children.stop()
