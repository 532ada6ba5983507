"""demo.json and the demo's folder: what is continued, what is refused, what is left alone."""

from __future__ import annotations

import errno
import fcntl
import json
from pathlib import Path

import pytest

from paris.coordinator.demo.folder import MADE, clear, open_folder, require_outside
from paris.coordinator.demo.record import RECORD, DemoRecord, DemoState
from paris.coordinator.errors import RunDirError
from paris.protocol.errors import NewerFileError, NoLocksError
from paris.protocol.locks import try_lock

OPTIONS = {"--recipe": "emoji", "--volunteers": "3"}


@pytest.fixture
def record(tmp_path) -> DemoRecord:
    made = DemoRecord(tmp_path / RECORD, DemoState(options=OPTIONS, volunteers=3))
    made.save()
    return made


def test_a_record_is_read_as_it_was_saved(record):
    with record.timed("prepare"):
        pass
    again = DemoRecord.load(record.path.parent)
    assert again is not None
    assert again.state == record.state
    assert again.is_finished("prepare")
    assert not again.is_finished("train")


def test_a_stage_that_was_interrupted_counts_its_time_and_is_not_finished(record):
    record.state.stages_s["train"] = 100.0
    with pytest.raises(KeyboardInterrupt), record.timed("train"):
        raise KeyboardInterrupt
    again = DemoRecord.load(record.path.parent)
    assert again is not None
    assert again.state.stages_s["train"] > 100.0
    assert again.state.finished == []


def test_a_stage_that_every_session_repeats_runs_again(record):
    for _ in range(2):
        record.repeat("start")
        assert not record.is_finished("start")
        with record.timed("start"):
            pass
    assert record.state.finished == ["start"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**OPTIONS, "--volunteers": "5"}, "--volunteers 3, not of --volunteers 5"),
        ({**OPTIONS, "--data": "mine"}, "no --data, not of --data mine"),
        ({"--recipe": "emoji"}, "--volunteers 3, not of no --volunteers"),
    ],
)
def test_other_options_are_refused_by_name_and_value(record, options, words):
    record.require_options(OPTIONS)
    with pytest.raises(RunDirError, match=words) as refused:
        record.require_options(options)
    assert "--overwrite" in refused.value.next_step


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("{", RunDirError, "damaged"),
        ("[]", RunDirError, "damaged"),
        ('{"format": 3}', NewerFileError, "format 3"),
        ('{"format": 1, "options": {}, "volunteers": 0}', RunDirError, "volunteers"),
    ],
)
def test_a_record_that_cannot_be_used_says_so_and_stays(tmp_path, content, error, words):
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(error, match=words):
        DemoRecord.load(tmp_path)
    assert (tmp_path / RECORD).read_text() == content


def test_a_folder_without_a_demo_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(RunDirError, match="holds no demo"), open_folder(tmp_path, overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_demo_of_an_earlier_version_is_replaced_only_when_told(tmp_path):
    for name in ("run", "logs"):
        (tmp_path / name).mkdir()
    with pytest.raises(RunDirError, match="earlier version"), open_folder(tmp_path, overwrite=False):
        pass
    with open_folder(tmp_path, overwrite=True):
        clear(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["demo.lock"]


def test_overwrite_removes_a_demo_and_without_it_the_demo_stays(record):
    folder = record.path.parent
    (folder / "run").mkdir()
    with open_folder(folder, overwrite=False):
        assert json.loads(record.path.read_text())["options"] == OPTIONS
    (folder / ".report.json.7.part").write_text("of a killed process")
    with open_folder(folder, overwrite=True):
        clear(folder)
        assert [path.name for path in folder.iterdir()] == ["demo.lock"]


@pytest.mark.parametrize("with_record", [True, False], ids=["demo", "earlier version"])
def test_a_demo_beside_somebody_elses_files_is_not_replaced(tmp_path, with_record):
    for name in ("run", "logs", "pics"):
        (tmp_path / name).mkdir()
    if with_record:
        DemoRecord(tmp_path / RECORD, DemoState(options=OPTIONS, volunteers=3)).save()
    before = sorted(tmp_path.iterdir())
    with (
        pytest.raises(RunDirError, match="did not make: pics" if with_record else "holds no demo"),
        open_folder(tmp_path, overwrite=True),
    ):
        pass
    assert sorted(tmp_path.iterdir()) == before


def test_only_what_a_demo_makes_is_removed(record):
    folder = record.path.parent
    for name in (*MADE, "came-later", ".mine.7.part"):
        (folder / name).touch()
    clear(folder)
    assert {path.name for path in folder.iterdir()} == {"demo.lock", "came-later", ".mine.7.part"}


def test_a_recipe_alone_is_somebody_elses(tmp_path):
    (tmp_path / "recipe.toml").write_text("mine")
    with pytest.raises(RunDirError, match="holds no demo"), open_folder(tmp_path, overwrite=False):
        pass
    assert (tmp_path / "recipe.toml").read_text() == "mine"
    assert not (tmp_path / "demo.lock").exists()


def test_a_demo_that_ends_before_it_began_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), open_folder(tmp_path / "new", overwrite=False):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_left_as_it_was(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(NoLocksError), open_folder(tmp_path / "new", overwrite=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_the_demo_reads_is_not_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own" / "pics").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "own" / "pics")
    for source in (tmp_path / "own", tmp_path / "own" / "pics", tmp_path / "link", Path("~/own/pics")):
        with pytest.raises(RunDirError, match="is inside"):
            require_outside(tmp_path / "own", source, "--data")
    require_outside(tmp_path / "own", tmp_path, "--data")
    monkeypatch.chdir(tmp_path / "own")
    require_outside(tmp_path / "own", Path("org/name"), "--data")


def test_a_second_demo_waits_for_the_processes_of_the_first_and_then_gives_up(record):
    folder = record.path.parent
    with open_folder(folder, overwrite=False):
        with pytest.raises(RunDirError, match="Another demo runs"), open_folder(folder, overwrite=True, patience_s=0.3):
            pass
        assert record.path.is_file()
    lock = try_lock(folder / "demo.lock")
    assert lock is not None
    lock.close()
