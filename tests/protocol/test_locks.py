from __future__ import annotations

import stat
from pathlib import Path

import pytest

from paris.protocol.locks import try_lock


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
