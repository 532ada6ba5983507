"""Files of secrets: whole or not at all, and for their owner alone."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from paris.protocol.private_files import create_private, replace_private


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_secret_is_for_its_owner_alone_and_so_is_its_new_folder(tmp_path):
    path = tmp_path / "keys" / "run.key"
    assert create_private(path, b"secret")
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    replace_private(path, b"other")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), names(path.parent)) == (b"other", 0o600, ["run.key"])


def test_a_secret_that_exists_is_never_replaced_by_a_new_one(tmp_path):
    assert create_private(tmp_path / "x", b"first")
    assert not create_private(tmp_path / "x", b"second")
    assert ((tmp_path / "x").read_bytes(), names(tmp_path)) == (b"first", ["x"])


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_system_without_hard_links_does_as_well(tmp_path, monkeypatch, exists):
    def no_links(*_args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    if exists:
        (tmp_path / "x").write_bytes(b"first")
    assert create_private(tmp_path / "x", b"second") is not exists
    assert ((tmp_path / "x").read_bytes(), names(tmp_path)) == (b"first" if exists else b"second", ["x"])


MAKERS = {
    "identity": "from paris.protocol.signing import Identity; Identity.load_or_create(path)",
    "peer": "import hivemind; from paris.protocol.dht.identity import create_peer_identity; create_peer_identity(path)",
    "tickets": "from paris.coordinator.hub.accounts.tickets import load_secret; load_secret(path)",
    "admin": "from paris.coordinator.hub.accounts.auth import admin_token; admin_token(path.parent)",
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_full_disk_at_the_first_start_leaves_no_half_secret_and_the_next_start_makes_a_whole_one(tmp_path, maker):
    path = tmp_path / "home" / ("admin.token" if maker == "admin" else "secret")
    load, make = MAKERS[maker].rsplit("; ", 1)
    program = f"from pathlib import Path\npath = Path({str(path)!r})\n{load}\n"
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
    done = subprocess.run([sys.executable, "-c", program + full + make], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{errno.EFBIG}" in done.stderr, done.stderr
    assert str(path.parent) in done.stderr
    assert [name for name in names(path.parent) if name != "tokens.lock"] == []
    subprocess.run([sys.executable, "-c", program + make], check=True)
    assert path.stat().st_size > 0


def test_the_bytes_are_on_disk_before_their_name_is_and_the_name_before_the_end(tmp_path, monkeypatch):
    synced: list[tuple[bool, list[str]]] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        assert is_folder or os.fstat(descriptor).st_size == 6, "all bytes are handed to the system"
        synced.append((is_folder, [name for name in names(tmp_path) if not name.startswith(".")]))

    monkeypatch.setattr(os, "fsync", fsync)
    create_private(tmp_path / "x", b"secret")
    replace_private(tmp_path / "x", b"second")
    assert synced == [(False, []), (True, ["x"]), (False, ["x"]), (True, ["x"])]


def test_an_error_is_named_by_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def link(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="Input/output error") as failed:
        create_private(tmp_path / "x", b"secret")
    assert (failed.value.errno, failed.value.filename, names(tmp_path)) == (errno.EIO, str(tmp_path / "x"), [])
