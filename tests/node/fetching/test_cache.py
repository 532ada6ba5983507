"""The cache: which files go when room is needed, and what counts as room."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from paris.node.errors import DiskFullError
from paris.node.fetching.cache import Cache


def filled(cache: Cache, *sizes: int) -> list[str]:
    """Files of these sizes, the first used longest ago; their hashes."""
    hashes = []
    for age, size in enumerate(sizes):
        data = bytes([age]) * size
        sha256 = hashlib.sha256(data).hexdigest()
        cache.file(sha256).write_bytes(data)
        os.utime(cache.file(sha256), (1000 + age, 1000 + age))
        hashes.append(sha256)
    return hashes


def there(cache: Cache, hashes: list[str]) -> list[bool]:
    return [cache.file(sha256).exists() for sha256 in hashes]


def test_the_least_recently_used_files_go_first_and_no_more_of_them_than_needed(tmp_path):
    cache = Cache(tmp_path / "a" / "cache", limit_bytes=400)
    hashes = filled(cache, 100, 100, 100, 100)
    cache.make_room(150, keep=())
    assert there(cache, hashes) == [False, False, True, True]


def test_a_file_that_was_found_counts_as_used(tmp_path):
    cache = Cache(tmp_path, limit_bytes=300)
    hashes = filled(cache, 100, 100, 100)
    assert cache.find(hashes[0], 100) == cache.file(hashes[0])
    cache.make_room(100, keep=())
    assert there(cache, hashes) == [True, False, True]


def test_files_that_just_fit_cost_no_file(tmp_path):
    cache = Cache(tmp_path, limit_bytes=300)
    hashes = filled(cache, 100, 100)
    cache.make_room(100, keep=())
    assert there(cache, hashes) == [True, True]
    cache.make_room(101, keep=())
    assert there(cache, hashes) == [False, True]


def test_a_byte_too_many_is_said_with_the_number_of_bytes_that_are_missing(tmp_path):
    cache = Cache(tmp_path, limit_bytes=300)
    hashes = filled(cache, 100, 100)
    with pytest.raises(DiskFullError, match=r"301 more bytes .* 1 bytes are missing"):
        cache.make_room(301, keep=())
    cache = Cache(tmp_path / "other", limit_bytes=300)
    hashes = filled(cache, 100, 100)
    with pytest.raises(DiskFullError, match=r"201 more bytes .* 1 bytes are missing"):
        cache.make_room(201, keep=[hashes[0]])
    assert there(cache, hashes) == [True, False]


def test_a_part_of_a_file_to_keep_is_kept_too_and_other_parts_are_not(tmp_path):
    cache = Cache(tmp_path, limit_bytes=300)
    kept, other = ("a" * 64, "b" * 64)
    for path in (cache.part(kept), cache.peer_part(kept), cache.part(other)):
        path.write_bytes(b"x" * 100)
    cache.make_room(100, keep=[kept])
    assert (cache.part(kept).exists(), cache.peer_part(kept).exists(), cache.part(other).exists()) == (
        True,
        True,
        False,
    )


def test_a_disk_keeps_64_mib_free_whatever_the_limit(tmp_path, monkeypatch):
    spare = 64 * 2**20
    cache = Cache(tmp_path)
    hashes = filled(cache, 100)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=spare + 500))
    cache.make_room(500, keep=())
    assert there(cache, hashes) == [True]
    with pytest.raises(DiskFullError, match=": 1 bytes are missing"):
        cache.make_room(501, keep=())


@pytest.mark.parametrize(("num_missing", "left"), [(1, [True, True, False]), (101, [False, True, False])])
def test_on_a_full_disk_files_that_another_cache_has_too_go_last(tmp_path, monkeypatch, num_missing, left):
    cache = Cache(tmp_path / "one")
    other = Cache(tmp_path / "other", None, [cache.path])
    hashes = filled(cache, 100, 100, 100)
    for sha256 in hashes[:2]:
        assert other.find(sha256, 100) is not None
    os.utime(cache.file(hashes[0]), (1, 1))

    def usage(path: Path) -> SimpleNamespace:
        files = {file.stat().st_ino: file.stat().st_size for file in tmp_path.glob("*/*")}
        return SimpleNamespace(free=64 * 2**20 + 300 - sum(files.values()))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    if num_missing > 100:  # the other one lets go of its name, which frees what this one drops next
        other.file(hashes[0]).unlink()
    cache.make_room(num_missing, keep=())
    assert there(cache, hashes) == left


@pytest.mark.parametrize(("content", "num_bytes"), [(b"0" * 100, 100), (b"\0" * 99, 100), (b"\0" * 100, 99)])
def test_a_damaged_file_is_not_found_and_removed(tmp_path, content, num_bytes):
    cache = Cache(tmp_path)
    (sha256,) = filled(cache, 100)
    cache.file(sha256).write_bytes(content)
    assert cache.find(sha256, num_bytes) is None
    assert there(cache, [sha256]) == [False]


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    assert Cache(tmp_path).find("a" * 64, 100) is None


def test_a_whole_file_replaces_both_of_its_parts(tmp_path):
    cache = Cache(tmp_path)
    sha256 = "a" * 64
    cache.part(sha256).write_bytes(b"hub")
    cache.peer_part(sha256).write_bytes(b"peer")
    assert cache.put(cache.peer_part(sha256), sha256) == cache.file(sha256)
    assert [path.name for path in tmp_path.iterdir()] == [sha256]
    assert cache.file(sha256).read_bytes() == b"peer"


def test_parts_from_the_hub_and_from_peers_are_apart(tmp_path):
    cache = Cache(tmp_path)
    assert cache.part("a" * 64) == tmp_path / f"{'a' * 64}.part"
    assert cache.peer_part("a" * 64) == tmp_path / f"{'a' * 64}.peer"


def test_folders_are_no_files_of_the_cache(tmp_path):
    cache = Cache(tmp_path, limit_bytes=100)
    hashes = filled(cache, 100)
    Path(tmp_path / "folder").mkdir()
    assert cache.num_bytes() == 100
    cache.make_room(100, keep=())
    assert there(cache, hashes) == [False]
    assert (tmp_path / "folder").exists()


@pytest.mark.parametrize("name", ["A" * 64, "a" * 63, "a" * 65, "../" + "a" * 61, "a" * 64 + "/x", ""])
def test_only_64_hex_digits_name_a_file(tmp_path, name):
    with pytest.raises(ValueError, match="not a SHA-256"):
        Cache(tmp_path).file(name)
