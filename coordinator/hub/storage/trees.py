"""Folders as git trees, named by their sha1, so that commits share unchanged folders.

A file's `git_oid` is the sha1 of the git blob, or for LFS of its pointer file, as on the public Hub. The stock client
compares these ids (ETag, `oid`, `blobId`) across calls, so all are computed here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from paris.coordinator.hub.errors import bad_request
from paris.coordinator.hub.storage.contents import Contents, LatestStates, keep_contents, read_contents
from paris.coordinator.hub.storage.folders import Row, insert_folder

_CACHED_FILES = 200_000
"""Of all cached listings together."""


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


@dataclass(slots=True)
class _Change:
    """What happens to one name of a folder."""

    file: FileEntry | None = None
    is_removed: bool = False
    """Whether the file of this name is deleted."""
    below: dict[str, _Change] = field(default_factory=dict)


def write_tree(
    db: sqlite3.Connection, repo_id: int, before: str | None, changes: Mapping[str, FileEntry | None]
) -> str:
    """Store the folders of a revision; return the root's sha1.

    Args:
        db: A write transaction.
        repo_id: The repository.
        before: Root of the revision that is changed; None for an empty one.
        changes: New entry of each path that differs, None for a deleted file.

    Raises:
        Refusal: 400, a path is both a file and a folder.
    """
    root = _Change()
    for path, entry in changes.items():
        change = root
        for name in path.split("/"):
            change = change.below.setdefault(name, _Change())
        change.file, change.is_removed = entry, entry is None
    return _write_folder(db, repo_id, before, root.below, "") or _insert(db, repo_id, Contents(), None, set())


def _write_folder(
    db: sqlite3.Connection, repo_id: int, before: str | None, changes: dict[str, _Change], path: str
) -> str | None:
    """Store a folder and those below it; return its sha1, None if it is empty."""
    folder = read_contents(db, repo_id, before)
    rows: dict[str, Row | None] = {}
    for name, change in changes.items():
        row = folder.rows.get(name)
        below = row[1] if row is not None and len(row) == 2 else None
        is_file = row is not None and len(row) > 2 and not change.is_removed
        if change.below:
            below = _write_folder(db, repo_id, below, change.below, f"{path}{name}/")
        if below is not None and (change.file is not None or is_file):
            raise bad_request(f"{path + name!r} is both a file and a folder.")
        rows[name] = row if is_file else None
        if change.file is not None:
            file = change.file
            rows[name] = [name, file.git_oid, file.size, file.sha256, file.is_lfs]
        elif below is not None:
            rows[name] = [name, below]
    after = folder.with_rows(rows)
    return _insert(db, repo_id, after, before, set(changes)) if after.rows else None


def _insert(db: sqlite3.Connection, repo_id: int, folder: Contents, before: str | None, changed: set[str]) -> str:
    oid = git_sha1("tree", folder.git())
    insert_folder(db, repo_id, oid, folder.rows, before, changed)
    keep_contents(oid, folder)
    return oid


_listings: LatestStates[Listing] = LatestStates(_CACHED_FILES)


def read_listing(db: sqlite3.Connection, repo_id: int, tree_oid: str) -> Listing:
    """All files and folders below a tree. Cached; callers must not change it."""
    listing = _listings.get(tree_oid)
    if listing is None:
        found = Listing()
        _collect(db, repo_id, tree_oid, "", found)
        listing = Listing(dict(sorted(found.files.items())), dict(sorted(found.folders.items())))
        _listings.put(tree_oid, listing, len(listing.files) + len(listing.folders))
    return listing


def _collect(db: sqlite3.Connection, repo_id: int, tree_oid: str, prefix: str, into: Listing) -> None:
    for name, oid, *rest in read_contents(db, repo_id, tree_oid).rows.values():
        if rest:
            into.files[prefix + name] = FileEntry(oid, rest[0], rest[1], rest[2])
        else:
            into.folders[prefix + name] = oid
            _collect(db, repo_id, oid, f"{prefix}{name}/", into)


class TreeFiles:
    """The files of one tree, each found without reading the others' folders.

    Args:
        db: Connection for reading, or a write transaction.
        repo_id: The repository.
        tree_oid: The tree.
    """

    def __init__(self, db: sqlite3.Connection, repo_id: int, tree_oid: str) -> None:
        self._db, self._repo_id, self._tree_oid = db, repo_id, tree_oid

    def find(self, path: str) -> FileEntry | None:
        """The file at a path, None if there is none."""
        row = self._row(path)
        return FileEntry(row[1], row[2], row[3], row[4]) if row is not None and len(row) > 2 else None

    def entries(self, folder: str, start: int, size: int) -> tuple[int, list[tuple[str, FileEntry | None]]] | None:
        """A part of a folder's entries, its folders before its files.

        Args:
            folder: Its path; empty for the root.
            start: Index of the first entry.
            size: How many at most.

        Returns:
            The number of all entries, and of each in the part the name and the file, None for a folder. None if there
            is no such folder.
        """
        oid = self._tree_oid
        if folder:
            row = self._row(folder)
            if row is None or len(row) > 2:
                return None
            oid = row[1]
        found = read_contents(self._db, self._repo_id, oid)
        names = [*sorted(found.folders), *sorted(found.rows.keys() - found.folders.keys())][start : start + size]
        rows = (found.rows[name] for name in names)
        return len(found.rows), [(row[0], FileEntry(row[1], *row[2:]) if len(row) > 2 else None) for row in rows]

    def below(self, folder: str) -> Iterator[str]:
        """Paths of all files below a folder."""
        row = self._row(folder)
        if row is not None and len(row) == 2:
            found = Listing()
            _collect(self._db, self._repo_id, row[1], f"{folder}/", found)
            yield from found.files

    def count(self) -> int:
        """Number of files."""
        return self._count(self._tree_oid)

    def _count(self, tree_oid: str) -> int:
        contents = read_contents(self._db, self._repo_id, tree_oid)
        below = sum(self._count(oid) for oid in contents.folders.values())
        return len(contents.rows) - len(contents.folders) + below

    def _row(self, path: str) -> Row | None:
        *folders, name = path.split("/")
        oid: str | None = self._tree_oid
        for folder in folders:
            oid = read_contents(self._db, self._repo_id, oid).folders.get(folder)
            if oid is None:
                return None
        return read_contents(self._db, self._repo_id, oid).rows.get(name)
