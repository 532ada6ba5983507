"""Folders as git trees, named by their sha1, so that commits share unchanged folders.

A file's `git_oid` is the sha1 of the git blob, or for LFS of its pointer file, as on the public Hub. The stock client
compares these ids (ETag, `oid`, `blobId`) across calls, so all are computed here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from paris.coordinator.hub.errors import bad_request

_CACHED_LISTINGS = 32


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of one revision."""

    git_oid: str
    size: int
    sha256: str
    is_lfs: bool

    @property
    def etag(self) -> str:
        """Id of this content in ETags, preupload and the client's cache."""
        return self.sha256 if self.is_lfs else self.git_oid


@dataclass(frozen=True)
class Listing:
    """All files and folders of one revision, sorted by path."""

    files: dict[str, FileEntry] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """Path of a folder -> sha1 of its tree."""


def git_sha1(kind: str, data: bytes) -> str:
    """The sha1 of a git object of a kind (blob, tree, commit)."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The pointer file of an LFS object in git."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def regular_entry(data: bytes) -> FileEntry:
    """Entry of a small file."""
    return FileEntry(git_sha1("blob", data), len(data), hashlib.sha256(data).hexdigest(), is_lfs=False)


def lfs_entry(sha256: str, size: int) -> FileEntry:
    """Entry of an LFS object."""
    return FileEntry(git_sha1("blob", lfs_pointer(sha256, size)), size, sha256, is_lfs=True)


def write_tree(db: sqlite3.Connection, repo_id: int, files: dict[str, FileEntry]) -> str:
    """Store the folders of a revision; return the root's sha1.

    Raises:
        Refusal: 400, a path is both a file and a folder.
    """
    root: dict[str, Any] = {}
    for path, entry in files.items():
        *parents, name = path.split("/")
        folder = root
        for parent in parents:
            folder = folder.setdefault(parent, {})
            if isinstance(folder, FileEntry):
                raise bad_request(f"{path!r} is below a file.")
        if name in folder:
            raise bad_request(f"{path!r} is both a file and a folder.")
        folder[name] = entry
    return _write_folder(db, repo_id, root)


def _write_folder(db: sqlite3.Connection, repo_id: int, folder: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    git = b""
    # git sorts a folder as if its name ended with a slash.
    for name, item in sorted(
        folder.items(), key=lambda pair: pair[0] + ("" if isinstance(pair[1], FileEntry) else "/")
    ):
        if isinstance(item, FileEntry):
            rows.append([name, item.git_oid, item.size, item.sha256, item.is_lfs])
            git += b"100644 %s\0" % name.encode() + bytes.fromhex(item.git_oid)
        else:
            oid = _write_folder(db, repo_id, item)
            rows.append([name, oid])
            git += b"40000 %s\0" % name.encode() + bytes.fromhex(oid)
    oid = git_sha1("tree", git)
    db.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", (repo_id, oid, json.dumps(rows, separators=(",", ":"))))
    return oid


def read_rows(db: sqlite3.Connection, repo_id: int, tree_oid: str) -> list[list[Any]]:
    """The stored entries of one folder."""
    row = db.execute("SELECT entries FROM trees WHERE repo = ? AND oid = ?", (repo_id, tree_oid)).fetchone()
    rows: list[list[Any]] = json.loads(row["entries"]) if row else []
    return rows


class _Cache:
    """The latest listings; a tree's sha1 determines its contents, so entries never become stale."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def get(self, tree_oid: str) -> Listing | None:
        with self._lock:
            if tree_oid in self._listings:
                self._listings.move_to_end(tree_oid)
            return self._listings.get(tree_oid)

    def put(self, tree_oid: str, listing: Listing) -> None:
        with self._lock:
            self._listings[tree_oid] = listing
            while len(self._listings) > _CACHED_LISTINGS:
                self._listings.popitem(last=False)


_cache = _Cache()


def read_listing(db: sqlite3.Connection, repo_id: int, tree_oid: str) -> Listing:
    """All files and folders below a tree. Cached; callers must not change it."""
    listing = _cache.get(tree_oid)
    if listing is None:
        found = Listing()
        _collect(db, repo_id, tree_oid, "", found)
        listing = Listing(dict(sorted(found.files.items())), dict(sorted(found.folders.items())))
        _cache.put(tree_oid, listing)
    return listing


def _collect(db: sqlite3.Connection, repo_id: int, tree_oid: str, prefix: str, into: Listing) -> None:
    for name, oid, *rest in read_rows(db, repo_id, tree_oid):
        if rest:
            into.files[prefix + name] = FileEntry(oid, rest[0], rest[1], rest[2])
        else:
            into.folders[prefix + name] = oid
            _collect(db, repo_id, oid, f"{prefix}{name}/", into)
