"""One leased task on disk, and the home that it is in."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S
from units import RUN, finish, make_unit

from paris.node.errors import DiskFullError
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.protocol.errors import IdentityError, NewerFileError, RecordError, SignatureError


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def folder(home):
    folder = home.unit_folder(RUN, "expert-0", 1)
    folder.save(make_unit())
    return folder


def test_a_unit_walks_through_its_states_and_is_the_same_when_read_back(folder):
    unit = make_unit()
    for state in ("fetching", "training", "uploading", "awaiting-verdict", "done"):
        unit = folder.advance(unit, state)
        assert folder.load() == unit
    assert [state for state, _ in unit.history] == [
        "leased",
        "fetching",
        "training",
        "uploading",
        "awaiting-verdict",
        "done",
    ]


@pytest.mark.parametrize(
    ("start", "end"), [("leased", "uploading"), ("training", "done"), ("done", "training"), ("dropped", "leased")]
)
def test_a_unit_never_takes_a_way_that_the_state_machine_lacks(folder, start, end):
    before = folder.load()
    with pytest.raises(ValueError, match=f"from {start} to {end}"):
        folder.advance(make_unit(state=start), end)
    assert folder.load() == before


@pytest.mark.parametrize("start", ["leased", "fetching", "training", "uploading", "awaiting-verdict"])
def test_a_lease_can_be_lost_in_every_state(folder, start):
    assert folder.advance(make_unit(state=start), "dropped", reason="revoked").reason == "revoked"


def test_a_full_disk_keeps_the_state_that_was_saved(folder):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
    try:
        with pytest.raises(DiskFullError, match=r"saving unit\.json"):
            folder.advance(make_unit(), "fetching")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    assert folder.load().state == "leased"
    assert [path.name for path in folder.path.iterdir() if path.is_file()] == ["unit.json"]


def test_a_broken_unit_is_named_with_what_to_do(folder):
    (folder.path / "unit.json").write_text("{", "utf-8")
    with pytest.raises(RecordError, match=r"unit\.json cannot be read") as caught:
        folder.load()
    assert "Move" in caught.value.next_step


def test_a_unit_of_a_newer_version_is_refused_and_unchanged(folder):
    path = folder.path / "unit.json"
    path.write_text(path.read_text("utf-8").replace('"format": 3', '"format": 4, "new": true'), "utf-8")
    before = path.read_bytes()
    with pytest.raises(NewerFileError, match="newer version") as caught:
        folder.load()
    assert "pip install" in caught.value.next_step
    assert path.read_bytes() == before


@pytest.mark.parametrize("names_format", [True, False])
def test_a_unit_of_the_first_format_is_read_as_one_that_submits_one_file(folder, names_format):
    unit = finish(folder, make_unit(), b"weights")
    path = folder.path / "unit.json"
    old = json.loads(path.read_text("utf-8"))
    (file,) = old["finished"].pop("files")
    old["finished"] |= {"sha256": file["sha256"], "bytes": file["bytes"]}
    old["format"] = 1
    if not names_format:
        del old["format"]
    path.write_text(json.dumps(old), "utf-8")
    assert folder.load() == unit
    assert folder.advance(unit, "awaiting-verdict") == folder.load()


def test_a_unit_of_the_second_format_is_read_as_it_is(folder):
    unit = finish(folder, make_unit(), b"weights")
    path = folder.path / "unit.json"
    old = json.loads(path.read_text("utf-8"))
    assert old.pop("audit") is None
    path.write_text(json.dumps({**old, "format": 2}), "utf-8")
    assert folder.load() == unit


@pytest.mark.parametrize("content", ["[]", "null", '"format"', '{"format": "x"}', '{"format": 1, "finished": {}}'])
def test_what_is_no_unit_of_any_format_is_refused_and_unchanged(folder, content):
    (folder.path / "unit.json").write_text(content, "utf-8")
    with pytest.raises(RecordError, match=r"unit\.json cannot be read"):
        folder.load()
    assert (folder.path / "unit.json").read_text("utf-8") == content


def test_the_unfinished_unit_is_the_one_to_go_on_with(home, folder):
    other = home.unit_folder(RUN, "expert-1", 1)
    other.save(make_unit("expert-1"))
    folder.advance(make_unit(), "dropped")
    found = home.unfinished(RUN)
    assert found is not None
    assert found[1].task.task_id == "expert-1"
    other.advance(found[1], "dropped")
    assert home.unfinished(RUN) is None
    assert len(home.units(RUN)) == 2


def test_a_run_id_never_becomes_another_path(home):
    with pytest.raises(RecordError):
        home.run_folder("../../etc")


def test_the_key_of_the_first_join_holds_for_ever(home):
    home.pin(RUN, "a" * 64)
    home.pin(RUN, "a" * 64)
    with pytest.raises(SignatureError, match=RUN):
        home.pin(RUN, "b" * 64)


HOLDER = """
import sys
from pathlib import Path
from paris.node.machine.lock import home_lock
with home_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_nodes_in_one_home_are_refused_and_a_killed_one_frees_it(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(IdentityError, match=f"process {holder.pid}") as caught, home_lock(tmp_path):
            pytest.fail("two locks on one home")
        assert "--home" in caught.value.next_step
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(DEADLINE_S)
    with home_lock(tmp_path):
        assert (tmp_path / "lock").read_text("ascii").strip() == str(os.getpid())
