"""Names of folders and files against what git itself says, and commits of folders against a plain dictionary."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paris.coordinator.hub.api.operations import apply_operations, parse_commit
from paris.coordinator.hub.errors import Refusal
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.repositories.repos import create_repo
from paris.coordinator.hub.storage.store import Store
from paris.coordinator.hub.storage.trees import lfs_entry, read_listing, regular_entry, write_tree


@pytest.fixture
def db(tmp_path):
    store = Store(tmp_path / "hub.sqlite3")
    with store.write() as db:
        create_repo(db, "models", "lab", "run", private=False, author="lab", at=0)
        yield db
    store.close()


def test_trees_have_the_names_that_git_gives_them(db):
    assert write_tree(db, 1, {}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    files = {"a/b": regular_entry(b"x"), "a.txt": regular_entry(b"hello\n"), "a-c": regular_entry(b"")}
    # git write-tree over the same files; a folder sorts as "a/", between "a-c" and "a.txt" on one side
    assert write_tree(db, 1, files) == "c82229d605198ea4a0e9112fd9c48356882be8ee"
    assert read_listing(db, 1, "c82229d605198ea4a0e9112fd9c48356882be8ee").folders == {
        "a": "da981995a0f17908b3f6795c1e0c28a7e96b8a11"
    }


paths = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map("/".join)
entries = st.one_of(st.binary(max_size=5).map(regular_entry), st.just(lfs_entry("ab" * 32, 7)))


@given(st.dictionaries(paths, entries, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read_unless_a_path_is_file_and_folder(files):
    clash = any(other.startswith(path + "/") for path in files for other in files)
    store = Store(":memory:")
    with store.write() as db:
        create_repo(db, "models", "lab", "run", private=False, author="lab", at=0)
        if clash:
            with pytest.raises(Refusal):
                write_tree(db, 1, files)
        else:
            assert read_listing(db, 1, write_tree(db, 1, files)).files == dict(sorted(files.items()))
    store.close()


def test_operations_happen_in_their_order_and_lines_of_other_systems_are_read():
    body = (
        b'{"key":"header","value":{"summary":"s","description":"d","parentCommit":"abcdef1"}}\r\n\n'
        b'{"key":"deletedFolder","value":{"path":"old/"}}\n'
        b'{"key":"file","value":{"path":"old/new.txt","content":"eA==","encoding":"base64"}}\n'
        b'{"key":"deletedFile","value":{"path":"b"}}'
    )
    header, operations = parse_commit(io.BytesIO(body), HubLimits())
    assert (header.summary, header.parentCommit) == ("s", "abcdef1")
    before = {"old/x": regular_entry(b"1"), "older": regular_entry(b"2"), "b": regular_entry(b"3")}
    after = apply_operations(before, operations, {1: regular_entry(b"x")}, HubLimits())
    assert after == {"older": regular_entry(b"2"), "old/new.txt": regular_entry(b"x")}
    assert set(before) == {"old/x", "older", "b"}
