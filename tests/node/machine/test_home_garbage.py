"""What a home no longer needs is deleted, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from units import RUN, make_unit

from paris.node.machine.garbage import collect_garbage, free_ended_units
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
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


def test_the_command_says_what_it_freed_and_waits_for_no_running_node(home):
    def gc() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "paris.node.cli", "gc", "--home", str(home.path), "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with home_lock(home.path):
        assert gc().returncode == IdentityError.exit_code
    assert len(with_work(home)) == 7
    assert json.loads(gc().stdout) == {"freed_bytes": 2100}
