from __future__ import annotations

import stat
from pathlib import Path

import pytest
from test_checkpoint import largest_file

from paris.experts.files import DiskFullError, copy_whole, whole_file, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x"
    for data in (b"one", b"two, longer", b""):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [file.name for file in path.parent.iterdir()] == ["x"]


def test_a_file_can_be_written_for_its_owner_alone(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write_whole(tmp_path / "x", data, mode=0o600)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def write_half(path: Path, source: Path) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(b"half")
        partial.write_bytes(source.read_bytes())


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old")
    with pytest.raises(FileNotFoundError):
        write_half(path, tmp_path / "missing")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_has_an_error_of_its_own_that_says_what_to_do(tmp_path: Path) -> None:
    with largest_file(1000), pytest.raises(DiskFullError) as caught:
        write_whole(tmp_path / "x", bytes(2000))
    assert caught.value.what.startswith(f"No space left to write {tmp_path / 'x'}")
    assert caught.value.next_step.startswith("Free some space")
    assert list(tmp_path.iterdir()) == []


def test_other_troubles_of_the_system_keep_their_own_name(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "inside").touch()
    with pytest.raises(OSError) as caught:
        write_whole(tmp_path / "x", b"data")
    assert not isinstance(caught.value, DiskFullError)


def test_a_copy_that_fails_leaves_the_old_file_and_a_file_is_not_copied_onto_itself(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(2000))
    (tmp_path / "x").write_bytes(b"old")
    with largest_file(1000), pytest.raises(DiskFullError):
        copy_whole(tmp_path / "source", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"
    for target in ("x", "source", "new/x"):
        copy_whole(tmp_path / "source", tmp_path / target)
        assert (tmp_path / target).read_bytes() == bytes(2000)
