"""Freeing storage: commits and trees that no ref reaches, contents that no repository refers to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from paris.coordinator.hub.accounts.auth import expire_accounts
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.repositories.repos import Repo, repo_of
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.folders import Row, move_to_base, read_folder, read_stored
from paris.coordinator.hub.storage.store import Store


def collect_repo(db: sqlite3.Connection, repo: Repo) -> set[str]:
    """Delete the commits and trees of a repository that no ref reaches; called after a ref was deleted.

    Returns:
        sha256 of the contents that the repository no longer refers to.
    """
    commits, trees = _reachable_commits(db, repo)
    kept_trees, blobs = _reachable_trees(db, repo, trees)
    _delete_others(db, "commits", "oid", repo, commits)
    _delete_others(db, "trees", "oid", repo, kept_trees)
    return _delete_others(db, "repo_blobs", "sha256", repo, blobs)


def _reachable_commits(db: sqlite3.Connection, repo: Repo) -> tuple[set[str], set[str]]:
    parents = {
        row["oid"]: (row["parent"], row["tree"])
        for row in db.execute("SELECT oid, parent, tree FROM commits WHERE repo = ?", (repo.id,))
    }
    seen: set[str] = set()
    for row in db.execute("SELECT oid FROM refs WHERE repo = ?", (repo.id,)):
        oid = row["oid"]
        while oid in parents and oid not in seen:
            seen.add(oid)
            oid = parents[oid][0]
    return seen, {parents[oid][1] for oid in seen}


def _reachable_trees(db: sqlite3.Connection, repo: Repo, roots: set[str]) -> tuple[set[str], set[str]]:
    """Trees and contents of these roots; no reachable tree is left with a base that is not."""
    bases: dict[str, str | None] = {}
    blobs: set[str] = set()
    waiting = set(roots)
    while waiting:
        rows: list[Row] = []
        for oid in waiting:
            stored = read_stored(db, repo.id, oid)
            bases[oid] = stored.base
            rows += stored.rows
        waiting = _take_rows(rows, blobs) - bases.keys()
        if not waiting:
            # A tree has the rows of its base too: those of a reachable one were taken.
            orphans = [oid for oid, base in bases.items() if base is not None and base not in bases]
            for oid in orphans:
                folder = read_folder(db, repo.id, oid)
                bases[oid] = move_to_base(db, repo.id, folder, set(bases))
                waiting |= _take_rows(folder.rows.values(), blobs) - bases.keys()
    return set(bases), blobs


def _take_rows(rows: Iterable[Row], blobs: set[str]) -> set[str]:
    """Add the files' contents to `blobs`; return the folders."""
    folders: set[str] = set()
    for _name, oid, *rest in rows:
        if rest:
            blobs.add(rest[1])
        else:
            folders.add(oid)
    return folders


def _delete_others(db: sqlite3.Connection, table: str, column: str, repo: Repo, kept: set[str]) -> set[str]:
    """Delete a repository's rows other than `kept`; `table` and `column` are constants, never input."""
    present = {str(row[0]) for row in db.execute(f"SELECT {column} FROM {table} WHERE repo = ?", (repo.id,))}
    gone = present - kept
    db.executemany(f"DELETE FROM {table} WHERE repo = ? AND {column} = ?", [(repo.id, name) for name in gone])
    return gone


def repo_contents(db: sqlite3.Connection, repo: Repo) -> set[str]:
    """sha256 of all contents that a repository refers to."""
    return {str(row[0]) for row in db.execute("SELECT sha256 FROM repo_blobs WHERE repo = ?", (repo.id,))}


def delete_unnamed(db: sqlite3.Connection, blobs: BlobStore, sha256s: set[str]) -> int:
    """Delete the contents among these that no repository and no pending upload refers to.

    Called inside a transaction. A commit notes its contents as pending uploads in an earlier transaction, so that they
    cannot be deleted before it refers to them.

    Returns:
        Bytes freed.
    """
    freed_bytes = 0
    for sha256 in sha256s:
        named = db.execute(
            "SELECT 1 FROM repo_blobs WHERE sha256 = :it UNION ALL SELECT 1 FROM uploads WHERE sha256 = :it",
            {"it": sha256},
        ).fetchone()
        if named is None:
            freed_bytes += blobs.delete(sha256)
    return freed_bytes


def sweep_at_start(store: Store, blobs: BlobStore, now: float, pending_life_s: float) -> None:
    """Delete the leftovers of a killed server and expired uploads."""
    blobs.sweep(pending_life_s)
    with store.write() as db:
        db.execute("DELETE FROM uploads WHERE at < ?", (now - pending_life_s,))
        for row in db.execute("SELECT * FROM repos").fetchall():
            collect_repo(db, repo_of(row))
        delete_unnamed(db, blobs, set(blobs.older_than(pending_life_s)))


def sweep_while_running(store: Store, blobs: BlobStore, now: float, limits: HubLimits) -> None:
    """Delete expired uploads, parts that are no longer written, and accounts of volunteers who have nothing stored."""
    blobs.sweep_parts(limits.pending_life_s)
    with store.write() as db:
        expired = (now - limits.pending_life_s,)
        contents = {str(row[0]) for row in db.execute("SELECT sha256 FROM uploads WHERE at < ?", expired)}
        db.execute("DELETE FROM uploads WHERE at < ?", expired)
        delete_unnamed(db, blobs, contents)
        expire_accounts(db, now - limits.idle_account_s)
