"""`paris-coord plan` and the refusal of `publish-tasks`, as an organiser runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from planned import TINY, settings

from paris.coordinator.errors import PlanError, RunDirError
from paris.coordinator.planning.measured import read_devices
from paris.coordinator.run.config import dump_config
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.tasks import open_tasks
from paris.coordinator.state.reading import open_store
from paris.experts.files import write_whole

ROWS = 30


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "paris.coordinator.cli.app", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run whose data looks prepared: manifests, without the shards that nobody reads here."""
    made = create_run(tmp_path / "run", recipe=str(TINY))
    clusters = [{"cluster": k, "heldout_rows": 8} for k in range(2)]
    write_whole(made.data / "prepared.json", json.dumps({"clusters": clusters}).encode())
    for cluster in range(2):
        shard = {"path": f"shards/cluster-{cluster:03d}/a.parquet", "sha256": "1" * 64, "bytes": 5_000, "rows": ROWS}
        listed = json.dumps({"cluster": cluster, "shards": [shard]})
        write_whole(made.data / "manifests" / f"cluster-{cluster:03d}.json", listed.encode())
    return made


def changed(run: RunDir, **tables) -> RunDir:
    write_whole(run.path / "run.toml", dump_config(settings(**tables)).encode())
    return RunDir.open(run.path)


def test_the_command_measures_this_machine_and_later_plans_remember_it(run):
    answer = command("plan", str(run.path), "--measure", "--threads", "1", "--json")
    assert answer.returncode == 0, answer.stderr
    plan = json.loads(answer.stdout)
    assert plan["rows"] == [ROWS, ROWS]
    assert plan["volunteer"]["down_bytes"] >= 5_000
    here = plan["cards"][0]
    assert here["is_measured"]
    assert 0 < here["step_s"] < 10
    (device,) = read_devices(run)
    # The step of the whole batch was measured itself, so the plan's step is that one.
    assert here["step_s"] == pytest.approx(device.steps[-1].seconds, rel=0.3)
    again = command("plan", str(run.path))
    assert f"{here['name']} *" in again.stdout
    assert "Warning: [run] num_experts = 2: an expert has only 30 training pictures" in again.stdout


def test_tasks_that_cannot_be_done_are_not_published_unless_told(run):
    impossible = changed(run, tasks={"deadline_s": 0.001})
    with pytest.raises(
        PlanError, match=r"\[tasks\] deadline_s = 0\.001: the work takes .* on the fastest card"
    ) as raised:
        open_tasks(impossible)
    assert "--despite-plan" in raised.value.next_step
    assert open_tasks(impossible, despite_plan=True).num_tasks == 2
    assert open_tasks(impossible).num_tasks == 2  # they are open already: nothing is published that was not


def test_the_command_says_what_is_wrong_and_publishes_when_told(run):
    changed(run, tasks={"min_rows": 100})
    refused = command("publish-tasks", str(run.path))
    assert refused.returncode == 67
    assert (
        "Error [plan]: [run] num_experts = 2: an expert has only 30 training pictures, fewer than 100."
        in refused.stderr
    )
    told = command("publish-tasks", str(run.path), "--despite-plan")
    assert "2 tasks: 2 open, 0 registered. Next: paris-coord serve" in told.stderr


def test_a_finished_run_is_not_said_to_have_open_tasks(run):
    open_tasks(run, despite_plan=True)
    store = open_store(run)
    state = store.load()
    tasks = {
        name: task.model_copy(update={"task": task.task.model_copy(update={"state": state_of})})
        for (name, task), state_of in zip(state.tasks.items(), ("registered", "leased"), strict=True)
    }
    store.save(state, replace(state, tasks=tasks), [], 0.0)
    store.close()
    assert str(open_tasks(run)) == "2 tasks: 0 open, 1 in work, 1 registered"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pictures", "5"), "--pictures 5 is given, but the data is prepared"),
        (("--threads", "2"), "--device and --threads need --measure"),
    ],
)
def test_options_that_mean_nothing_are_named(run, options, said):
    answer = command("plan", str(run.path), *options)
    assert (answer.returncode, answer.stdout) == (60, "")
    assert said in answer.stderr


def test_a_damaged_file_of_speeds_is_named(run):
    (run.path / "speeds.json").write_text("{}")
    with pytest.raises(RunDirError, match="lists no measured devices"):
        read_devices(run)
