from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from pathlib import Path

import pytest

from paris.protocol.errors import NoLocksError
from paris.protocol.lifeline import child_environment
from paris.protocol.locks import go_without_locks, try_lock, wait_for_lock


def test_a_lock_is_held_by_one_open_file_until_that_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    with first:
        assert try_lock(path) is None
    second = try_lock(path)
    assert second is not None
    second.close()


def test_a_new_lock_file_has_the_given_mode_and_an_old_one_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for content in ("", "123"):
        lock = try_lock(path, mode=0o600)
        assert lock is not None
        with lock:
            assert path.read_text() == content
            path.write_text("123")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_that_cannot_be_opened_is_an_error_and_not_a_held_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "missing" / "lock")


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def no_locks(request, monkeypatch):
    """A file system without locks, as the system's call tells it."""

    def flock(*_args):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.delenv("PARIS_NO_LOCK", raising=False)
    return os.strerror(request.param)


@pytest.mark.parametrize("take", [try_lock, wait_for_lock])
def test_a_file_system_without_locks_is_said_with_the_path_and_is_no_held_lock(tmp_path, no_locks, take):
    with pytest.raises(NoLocksError, match="has no locks") as caught:
        take(tmp_path / "lock")
    assert str(tmp_path / "lock") in caught.value.what
    assert no_locks in caught.value.what
    assert "--no-lock" in caught.value.next_step


def test_with_no_lock_work_goes_on_where_there_are_no_locks_with_a_warning(tmp_path, no_locks, monkeypatch, caplog):
    monkeypatch.setenv("PARIS_NO_LOCK", "1")
    monkeypatch.setattr(logging.getLogger("paris"), "propagate", True)
    with try_lock(tmp_path / "lock"), try_lock(tmp_path / "lock"):
        assert "is not locked" in caplog.text


def test_with_no_lock_a_held_lock_is_held_where_there_are_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("PARIS_NO_LOCK", "1")
    with try_lock(tmp_path / "lock"):
        assert try_lock(tmp_path / "lock") is None


def test_a_file_that_cannot_be_written_is_locked_all_the_same(tmp_path):
    (tmp_path / "lock").touch(0o400)
    with try_lock(tmp_path / "lock"):
        assert try_lock(tmp_path / "lock") is None


def test_no_lock_is_for_the_process_and_its_children(monkeypatch):
    monkeypatch.setenv("PARIS_NO_LOCK", "")
    go_without_locks(False)
    assert child_environment()["PARIS_NO_LOCK"] == ""
    go_without_locks()
    assert child_environment()["PARIS_NO_LOCK"] == "1"


def test_a_lock_that_was_waited_for_is_held(tmp_path):
    with wait_for_lock(tmp_path / "lock", mode=0o600):
        assert try_lock(tmp_path / "lock") is None
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_no_child_inherits_an_open_lock(tmp_path, mode):
    (tmp_path / "lock").touch(mode)
    with try_lock(tmp_path / "lock") as lock:
        assert not os.get_inheritable(lock.fileno())


def test_a_lock_that_is_not_got_leaves_no_open_file(tmp_path):
    def num_open() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    with try_lock(tmp_path / "lock"):
        before = num_open()
        assert try_lock(tmp_path / "lock") is None
        assert num_open() == before
