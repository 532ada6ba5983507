"""What a run directory no longer needs is deleted, and nothing else."""

from __future__ import annotations

import json
import os
import time

import pytest

from paris.coordinator.cli.app import app
from paris.coordinator.console import fail_clearly
from paris.coordinator.run.create import create_run
from paris.coordinator.service.garbage import collect_garbage
from paris.coordinator.service.verifier import Verifier
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Submission

DAY_S = 86400


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", recipe="emoji-quick")


def submission(lease_id: str, phase: str) -> SubmissionState:
    record = Submission(
        lease_id=lease_id,
        task_id="expert-0",
        attempt=1,
        name="ada",
        repo="a/b",
        pull_request=1,
        commit="1" * 40,
        files=(SubmittedFile(path="expert.safetensors", sha256="0" * 64, bytes=1),),
        steps=1,
        final_loss=1.0,
        commitment="0" * 64,
    )
    return SubmissionState(submission=record, signer="b" * 64, envelope="", seen_at=1.0, phase=phase)


def make(path, age_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    for place in (path, path.parent):
        os.utime(place, (time.time() - age_s, time.time() - age_s))


def test_only_what_belongs_to_closed_submissions_or_to_killed_writes_goes(run):
    phases = {"a" * 32: "closed", "b" * 32: "registered", "c" * 32: "seen", "d" * 32: "closed", "f" * 32: "stored"}
    for lease_id in phases:
        make(run.verify / lease_id / "candidate" / "expert.safetensors", 40 * DAY_S)
        make(run.verify / lease_id / "replay" / "weights.safetensors", 40 * DAY_S)
        make(run.verify / lease_id / "report.json", DAY_S if lease_id[0] == "d" else 40 * DAY_S)
        make(run.logs / f"verify-{lease_id[:8]}.log", 40 * DAY_S)
    make(run.verify / ("e" * 32) / "report.json", 40 * DAY_S)
    make(run.path / ".run.json.123.part", 2 * DAY_S)
    make(run.data / ".prepared.json.123.part", 60)
    keys = {path.name: path.read_bytes() for path in (run.path / "keys").iterdir()}
    state = State(submissions={lease_id: submission(lease_id, phase) for lease_id, phase in phases.items()})
    assert collect_garbage(run, state) == 10000  # of it the files of the leg whose state is not kept
    left = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert left == {
        "run.toml",
        "keys/run.key",
        "data/.prepared.json.123.part",
        *(f"verify/{x * 32}/candidate/expert.safetensors" for x in "bc"),
        *(f"verify/{x * 32}/replay/weights.safetensors" for x in "bc"),
        *(f"verify/{x * 32}/report.json" for x in "bcdf"),
        *(f"logs/verify-{x * 8}.log" for x in "bcdf"),
    }
    assert {path.name: path.read_bytes() for path in (run.path / "keys").iterdir()} == keys
    assert collect_garbage(run, state) == 0


def test_a_rejected_submission_keeps_its_report_alone(run):
    folder = run.verify / ("a" * 32)
    for name in ("candidate/expert.safetensors", "replay/00000000/weights.safetensors", "report.json"):
        make(folder / name, 0)
    Verifier(run, None, None, None).discard_candidate(folder.name)
    assert [path.name for path in folder.iterdir()] == ["report.json"]


def test_the_command_says_what_it_freed(run, capsys):
    make(run.path / ".run.json.123.part", 2 * DAY_S)
    with pytest.raises(SystemExit) as end:
        fail_clearly(app, ["gc", str(run.path), "--json"])
    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["freed_bytes"] >= 1000
