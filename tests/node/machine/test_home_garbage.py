"""What a home no longer needs is deleted, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from legs import make_leg, write_snapshots
from units import RUN, make_unit

from paris.experts.training.commitments import scheduled_folder
from paris.node.machine.garbage import collect_garbage, free_accepted_unit, free_ended_units
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.machine.unit import Finished
from paris.protocol.errors import IdentityError
from paris.protocol.signing import Identity

STATES = ("leased", "fetching", "training", "uploading", "awaiting-verdict", "done", "dropped")


@pytest.fixture
def home(tmp_path) -> Home:
    """A home with a unit in each state, and with old and new files in its cache."""
    home = Home(tmp_path)
    Identity.load_or_create(home.identity)
    for number, state in enumerate(STATES):
        folder = home.unit_folder(RUN, f"expert-{number}", 1)
        folder.save(make_unit(f"expert-{number}", state=state))
        (folder.work / "snapshots").mkdir()
        (folder.work / "snapshots" / "weights").write_bytes(bytes(1000))
        folder.log.write_text("log")
    (home.run_folder(RUN) / "run.json").write_text("{}")
    home.cache.mkdir()
    for name, age_s in (("a" * 64, 9e9), ("b" * 64 + ".part", 2 * 86400), ("c" * 64 + ".peer", 60)):
        path = home.cache / name
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age_s, time.time() - age_s) if age_s < 1e9 else (0, 0))
    return home


def with_work(home: Home) -> list[str]:
    return [unit.state for folder, unit in home.units(RUN) if (folder.work / "snapshots" / "weights").exists()]


def test_only_units_that_ended_lose_their_work_and_keep_their_record_and_log(home):
    assert free_ended_units(home, RUN) == 2000
    assert sorted(with_work(home)) == sorted(STATES[:5])
    assert sorted(unit.state for _, unit in home.units(RUN)) == sorted(STATES)
    assert all(folder.log.exists() for folder, _ in home.units(RUN))


def test_a_state_that_the_next_leg_starts_from_stays_with_what_was_trained_ahead_of_it(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 20)
    write_snapshots(folder, 10, 20)
    (folder.ahead / "snapshots").mkdir(parents=True)
    ahead, weights = folder.ahead / "snapshots" / "weights", folder.work / "expert.safetensors"
    for path in (ahead, weights, folder.log):
        path.write_bytes(bytes(7))
    kept, older = (scheduled_folder(folder.snapshots, step) for step in (20, 10))
    older_bytes = sum(path.stat().st_size for path in older.iterdir())
    kept_bytes = sum(path.stat().st_size for path in kept.iterdir())
    assert folder.delete_big_files(kept) == older_bytes + 7
    assert (len(list(kept.iterdir())), list(older.iterdir()), ahead.exists(), weights.exists()) == (4, [], True, False)
    assert folder.delete_big_files(scheduled_folder(folder.snapshots, 30)) == kept_bytes + 7
    assert sorted(path.name for path in folder.path.iterdir()) == ["trainer.log", "unit.json"]
    assert folder.delete_big_files() == 0
    assert folder.load() == unit


@pytest.mark.parametrize(("to_step", "finished", "is_kept"), [(20, 20, True), (40, 40, False), (None, 20, False)])
def test_an_accepted_unit_keeps_the_state_of_a_leg_that_another_may_start_from(tmp_path, to_step, finished, is_kept):
    folder, unit = make_leg(tmp_path / "unit", 0, to_step)
    write_snapshots(folder, 20, 40)
    ended = Finished(steps=finished, final_loss=0.5, commitment="c" * 64, files=())
    free_accepted_unit(folder, unit.model_copy(update={"finished": ended}))
    assert scheduled_folder(folder.snapshots, 20).exists() == is_kept
    assert not any(path.is_file() for path in scheduled_folder(folder.snapshots, 40).glob("*"))


@pytest.mark.parametrize(
    ("task_id", "start_step", "is_kept"), [("expert-0", 20, True), ("expert-1", 20, False), ("expert-0", 0, False)]
)
def test_an_ended_unit_keeps_the_state_that_the_next_lease_starts_from(tmp_path, task_id, start_step, is_kept):
    home = Home(tmp_path)
    folder, unit = make_leg(home.unit_folder(RUN, "expert-0", 1).path, 0, 20)
    write_snapshots(folder, 20)
    folder.save(unit.model_copy(update={"state": "done"}))
    freed = free_ended_units(home, RUN, unit.lease.model_copy(update={"task_id": task_id, "start_step": start_step}))
    assert (freed == 0) == is_kept
    assert scheduled_folder(folder.snapshots, 20).exists() == is_kept


@pytest.mark.parametrize("with_cache", [False, True])
def test_old_partial_downloads_go_and_with_cache_all_downloads(home, with_cache):
    identity = home.identity.read_bytes()
    leftover = home.run_folder(RUN) / ".run.json.1.part"
    leftover.write_bytes(bytes(10))
    os.utime(leftover, (0, 0))
    assert collect_garbage(home, with_cache=with_cache) == 2000 + 10 + 100 + (200 if with_cache else 0)
    names = sorted(path.name[0] for path in home.cache.iterdir())
    assert names == ([] if with_cache else ["a", "c"])
    assert (home.identity.read_bytes(), leftover.exists()) == (identity, False)


def test_what_a_killed_write_left_in_the_cache_goes_once_and_a_new_home_has_nothing_to_free(home, tmp_path):
    collect_garbage(home, with_cache=False)
    leftover = home.cache / f".{'d' * 64}.1.part"
    leftover.write_bytes(bytes(10))
    os.utime(leftover, (0, 0))
    assert collect_garbage(home, with_cache=False) == 10
    assert not leftover.exists()
    assert collect_garbage(Home(tmp_path / "new"), with_cache=True) == 0


def test_the_command_says_what_it_freed_and_waits_for_no_running_node(home):
    def gc() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "paris.node.cli", "gc", "--home", str(home.path), "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with home_lock(home.path):
        assert gc().returncode == IdentityError.exit_code
    assert len(with_work(home)) == 7
    assert json.loads(gc().stdout) == {"freed_bytes": 2100}
