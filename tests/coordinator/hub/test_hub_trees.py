"""Names of folders and files against what git itself says, and commits of folders against a plain dictionary."""

import contextlib
import io
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paris.coordinator.hub.api.operations import Deletion, InlineFile, changes_of, parse_commit
from paris.coordinator.hub.errors import Refusal
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.repositories.repos import add_commit, create_repo, get_repo, note_blobs, set_ref
from paris.coordinator.hub.repositories.sweep import collect_repo, repo_contents
from paris.coordinator.hub.storage.contents import LatestStates
from paris.coordinator.hub.storage.folders import read_folder
from paris.coordinator.hub.storage.store import Store
from paris.coordinator.hub.storage.trees import TreeFiles, lfs_entry, read_listing, regular_entry, write_tree


@pytest.fixture
def db(tmp_path):
    store = Store(tmp_path / "hub.sqlite3")
    with store.write() as db:
        create_repo(db, "models", "lab", "run", private=False, author="lab", at=0)
        yield db
    store.close()


def test_trees_have_the_names_that_git_gives_them(db):
    assert write_tree(db, 1, None, {}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    files = {"a/b": regular_entry(b"x"), "a.txt": regular_entry(b"hello\n"), "a-c": regular_entry(b"")}
    # git write-tree over the same files; a folder sorts as "a/", between "a-c" and "a.txt" on one side
    assert write_tree(db, 1, None, files) == "c82229d605198ea4a0e9112fd9c48356882be8ee"
    assert read_listing(db, 1, "c82229d605198ea4a0e9112fd9c48356882be8ee").folders == {
        "a": "da981995a0f17908b3f6795c1e0c28a7e96b8a11"
    }


@contextlib.contextmanager
def fresh_database():
    """One for each example, where a fixture would give the same to all."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "hub.sqlite3")
        with store.write() as db:
            create_repo(db, "models", "lab", "run", private=False, author="lab", at=0)
            yield db
        store.close()


paths = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map("/".join)
entries = st.one_of(st.binary(max_size=5).map(regular_entry), st.just(lfs_entry("ab" * 32, 7)))


@given(st.dictionaries(paths, entries, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read_unless_a_path_is_file_and_folder(files):
    clash = any(other.startswith(path + "/") for path in files for other in files)
    with fresh_database() as db:
        if clash:
            with pytest.raises(Refusal):
                write_tree(db, 1, None, files)
        else:
            assert read_listing(db, 1, write_tree(db, 1, None, files)).files == dict(sorted(files.items()))


def files_of(db, tree: str) -> dict[str, str]:
    """Path and sha256 of all files, read from the database, not from the cache of listings."""
    found = {}
    for name, oid, *rest in read_folder(db, 1, tree).rows.values():
        if rest:
            found[name] = rest[1]
        else:
            found.update((f"{name}/{path}", sha256) for path, sha256 in files_of(db, oid).items())
    return found


def test_a_thousand_commits_to_one_folder_take_little_more_than_their_changes(db):
    tree = None
    for number in range(1000):
        tree = write_tree(db, 1, tree, {f"data/{number:05d}.txt": regular_entry(b"%d" % number)})
    assert len(files_of(db, tree)) == 1000
    (num_bytes,) = db.execute("SELECT SUM(LENGTH(entries)) FROM trees").fetchone()
    assert num_bytes < 2_000_000
    longest = max(len(read_folder(db, 1, row[0]).chain) for row in db.execute("SELECT oid FROM trees").fetchall())
    assert longest <= 11


START = {f"f/{number:02d}": regular_entry(b"%d" % number) for number in range(20)}
edits = st.dictionaries(
    st.sampled_from([*START, "f/new", "g"]), st.one_of(st.none(), st.binary(max_size=2).map(regular_entry)), max_size=3
)


@given(st.lists(st.tuples(st.integers(0, 99), edits), min_size=1, max_size=12), st.sets(st.integers(0, 12)))
@settings(max_examples=60, deadline=None)
def test_commits_that_stay_keep_their_files_and_no_others_whatever_is_deleted(commits, deleted):
    with fresh_database() as db:
        repo = get_repo(db, "models", "lab", "run")
        db.execute("DELETE FROM refs")
        known = []  # (oid, parent's index, tree, files)
        for index, (parent, changes) in enumerate([(0, START), *commits]):
            before = known[parent % len(known)] if known else (None, None, None, {})
            files = {path: entry for path, entry in {**before[3], **changes}.items() if entry}
            tree = write_tree(db, 1, before[2], changes)
            oid = add_commit(db, repo, parent=before[0], tree=tree, author="a", title=str(index), message="", at=0)
            note_blobs(db, repo, {entry.sha256 for entry in files.values()})
            set_ref(db, repo, f"refs/pr/{index + 1}", oid)
            known.append((oid, parent % len(known) if known else None, tree, files))
        for index in deleted:
            db.execute("DELETE FROM refs WHERE name = ?", (f"refs/pr/{index + 1}",))
        collect_repo(db, repo)
        reachable = set()
        for index in set(range(len(known))) - deleted:
            while index is not None:
                reachable.add(index)
                index = known[index][1]
        for index in reachable:
            _, _, tree, files = known[index]
            assert files_of(db, tree) == {path: entry.sha256 for path, entry in files.items()}
        wanted = {entry.sha256 for index in reachable for entry in known[index][3].values()}
        assert repo_contents(db, repo) == wanted


def test_operations_happen_in_their_order_and_lines_of_other_systems_are_read(db):
    body = (
        b'{"key":"header","value":{"summary":"s","description":"d","parentCommit":"abcdef1"}}\r\n\n'
        b'{"key":"deletedFolder","value":{"path":"old/"}}\n'
        b'{"key":"file","value":{"path":"old/new.txt","content":"eA==","encoding":"base64"}}\n'
        b'{"key":"deletedFile","value":{"path":"b"}}'
    )
    header, operations = parse_commit(io.BytesIO(body), HubLimits())
    assert (header.summary, header.parentCommit) == ("s", "abcdef1")
    before = {"old/x": regular_entry(b"1"), "older": regular_entry(b"2"), "b": regular_entry(b"3")}
    files = TreeFiles(db, 1, write_tree(db, 1, None, before))
    changes = changes_of(files, operations, {1: regular_entry(b"x")}, HubLimits())
    assert changes == {"old/x": None, "old/new.txt": regular_entry(b"x"), "b": None}
    assert files.count() == 3


@pytest.fixture(scope="module")
def shared_db(tmp_path_factory):
    """For examples that do not mind each other's trees."""
    store = Store(tmp_path_factory.mktemp("trees") / "hub.sqlite3")
    with store.write() as db:
        create_repo(db, "models", "lab", "run", private=False, author="lab", at=0)
    yield store
    store.close()


names = st.sampled_from(["a", "a.txt", "a-c", "a/b", "a/c", "b/a/c", "b", "\u00e9", "a0"])
many = st.lists(st.dictionaries(names, st.one_of(st.none(), st.binary(max_size=2).map(regular_entry)), max_size=4))


@given(commits=many)
@settings(max_examples=60, deadline=None)
def test_a_state_reached_by_commits_is_named_as_one_that_is_written_at_once(shared_db, commits):
    with shared_db.write() as db:
        tree, files = write_tree(db, 1, None, {}), {}
        for changes in commits:
            after = {path: entry for path, entry in {**files, **changes}.items() if entry}
            if any(other.startswith(path + "/") for path in after for other in after):
                continue
            real = {path: entry for path, entry in changes.items() if entry != files.get(path)}
            tree, files = write_tree(db, 1, tree, real), after
            at_once = write_tree(db, 1, None, files)
            assert tree == at_once
        assert files_of(db, tree) == {path: entry.sha256 for path, entry in files.items()}
        found = TreeFiles(db, 1, tree)
        assert {path: found.find(path) for path in files} == files
        assert found.find("a/none") is None
        assert found.count() == len(files)
        assert sorted(found.below("a")) == sorted(path for path in files if path.startswith("a/"))


operation = st.one_of(
    st.tuples(st.sampled_from(["a/b", "a/c", "d", "e/f"]), st.binary(max_size=1)),
    st.sampled_from([Deletion("a/b", False), Deletion("a", True), Deletion("d", False), Deletion("e", True)]),
)


@given(steps=st.lists(operation, max_size=6))
@settings(max_examples=60, deadline=None)
def test_operations_change_what_a_plain_dictionary_would_become(shared_db, steps):
    before = {"a/b": regular_entry(b"0"), "d": regular_entry(b"1"), "g/h": regular_entry(b"2")}
    after, operations, added, is_refused = dict(before), [], {}, False
    for index, step in enumerate(steps):
        if isinstance(step, Deletion):
            gone = [path for path in after if path == step.path or path.startswith(step.path + "/")]
            is_refused = is_refused or not gone
            after = {path: entry for path, entry in after.items() if path not in gone}
            operations.append(step)
        else:
            after[step[0]] = added[index] = regular_entry(step[1])
            operations.append(InlineFile(step[0], added[index], 0, 0))
    with shared_db.write() as db:
        files = TreeFiles(db, 1, write_tree(db, 1, None, before))
        if is_refused:
            with pytest.raises(Refusal, match="doesn't exist"):
                changes_of(files, operations, added, HubLimits())
            return
        changes = changes_of(files, operations, added, HubLimits())
        assert changes == {p: after.get(p) for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
        if len(after) > len(before):
            with pytest.raises(Refusal, match="at most 3 files"):
                changes_of(files, operations, added, HubLimits(max_repo_files=3))


def test_a_commit_to_a_large_folder_reads_no_more_rows_than_one_to_a_small_folder(db):
    def instructions(num_files: int) -> int:
        """Of SQLite's virtual machine, in hundreds."""
        tree = write_tree(db, 1, None, {f"d{num_files}/{n:05d}": regular_entry(b"%d" % n) for n in range(num_files)})
        count = itertools.count()
        db.set_progress_handler(lambda: next(count) and 0, 100)
        for number in range(20):
            files = TreeFiles(db, 1, tree)
            file = InlineFile(f"d{num_files}/new-{number}", regular_entry(b"x"), 0, 0)
            tree = write_tree(db, 1, tree, changes_of(files, [file], {0: file.entry}, HubLimits()))
        db.set_progress_handler(None, 0)
        return next(count)

    assert 0 < instructions(10_000) < 4 * instructions(100)


def test_the_folders_and_listings_in_memory_are_bounded():
    states = LatestStates[str](max_rows=100)
    for number in range(50):
        states.put(str(number), "state", 30)
        states.put(str(number), "state", 30)
        states.get("0")
    assert [states.get(str(number)) for number in (0, 48, 49)] == ["state"] * 3
    assert sum(states.get(str(number)) is not None for number in range(50)) == 3
    states.put("large", "state", 101)
    assert states.get("large") is None
