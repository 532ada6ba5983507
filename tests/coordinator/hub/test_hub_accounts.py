"""Accounts of volunteers: made when they store something, bounded in bytes, deleted when nothing is left."""

import contextlib
import os
import socket
import sqlite3
import time

import pytest
from deadlines import DEADLINE_S
from hub_process import OTHER_TOKEN, OWNER_TOKEN, STRANGER_TOKEN, Wire, lfs_file, small_file

from paris.coordinator.hub import HubLimits, HubServer, add_user
from paris.coordinator.hub.repositories.sweep import sweep_while_running

MAX_BYTES = 100_000
PULL = "?create_pr=1"


@pytest.fixture
def hub(tmp_path):
    limits = HubLimits(max_user_bytes=MAX_BYTES)
    with HubServer(tmp_path / "hub", open_registration=True, limits=limits) as hub:
        add_user(tmp_path / "hub", "lab", OWNER_TOKEN)
        yield hub


@pytest.fixture
def wire(hub):
    wire = Wire(hub.port)
    wire.create_repo("run")
    return wire


def accounts(hub: HubServer) -> list[str]:
    with hub.app.hub.store.read() as db:
        return [row["name"] for row in db.execute("SELECT name FROM users ORDER BY created_at")]


def sweep(hub: HubServer, *, in_s: float) -> None:
    parts = hub.app.hub
    sweep_while_running(parts.store, parts.blobs, time.time() + in_s, parts.limits)


def name_of(wire: Wire, token: str) -> str:
    return wire.ask("GET", "/api/whoami-v2", token=token).json()["name"]


def test_reading_makes_no_account_and_the_first_upload_makes_one_under_the_name_of_before(hub, wire):
    name = name_of(wire, STRANGER_TOKEN)
    for number in range(20):
        assert wire.ask("GET", "/api/models/lab/run", token=f"some_unknown_token_{number:04d}").status == 200
    assert accounts(hub) == []
    wire.send_object("lab/run", b"weights", token=STRANGER_TOKEN)
    assert accounts(hub) == [name] == [name_of(wire, STRANGER_TOKEN)]


def test_accounts_that_store_nothing_expire_and_others_stay(hub, wire):
    wire.send_object("lab/run", b"never committed", token=OTHER_TOKEN)
    wire.commit("lab/run", small_file("a", b"a"), token=STRANGER_TOKEN, query=PULL)
    day = 24 * 3600
    sweep(hub, in_s=29 * day)
    assert len(accounts(hub)) == 2
    sweep(hub, in_s=31 * day)
    assert accounts(hub) == [name_of(wire, STRANGER_TOKEN)]


def test_expired_uploads_are_deleted_while_the_hub_runs(hub, wire, tmp_path):
    wire.send_object("lab/run", b"never committed", token=STRANGER_TOKEN)
    kept = wire.send_object("lab/run", b"committed")
    assert wire.commit("lab/run", lfs_file("kept.bin", kept)).status == 200
    part = tmp_path / "hub" / "parts" / "user-x"
    part.touch()
    sweep(hub, in_s=10)
    assert part.exists()
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(part, (long_ago, long_ago))
    sweep(hub, in_s=25 * 3600)
    assert not part.exists()
    assert [file.name for file in (tmp_path / "hub").glob("blobs/*/*")] == [kept]


def test_a_running_hub_sweeps_by_itself(tmp_path):
    limits = HubLimits(pending_life_s=0.01, sweep_every_s=0.01)
    with HubServer(tmp_path, open_registration=True, limits=limits) as hub:
        add_user(tmp_path, "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        wire.send_object("lab/run", b"never committed", token=STRANGER_TOKEN)
        deadline = time.monotonic() + DEADLINE_S
        while list(tmp_path.glob("blobs/*/*")):
            assert time.monotonic() < deadline
            wire.ask("GET", "/api/models/lab/run")


def open_pull_request(wire: Wire, path: str, data: bytes, token: str = STRANGER_TOKEN):
    return wire.commit("lab/run", small_file(path, data), token=token, query=PULL)


def test_bytes_in_pull_requests_count_until_they_are_merged_or_deleted(wire):
    first = open_pull_request(wire, "a", b"a" * 60_000)
    assert first.status == 200
    assert open_pull_request(wire, "b", b"b" * 60_000).status == 413
    upload = b"c" * 60_000
    assert wire.batch("lab/run", upload, token=STRANGER_TOKEN)["error"]["code"] == 413
    assert open_pull_request(wire, "b", b"b" * 60_000, OTHER_TOKEN).status == 200, "each user has its own"
    assert wire.commit("lab/run", small_file("l", b"l" * (MAX_BYTES + 1))).status == 200, "the owner has none"
    assert open_pull_request(wire, "again", b"l" * (MAX_BYTES + 1)).status == 413
    thread = "/api/models/lab/run/discussions/1"
    assert wire.ask("POST", thread + "/status", {"status": "closed"}, token=STRANGER_TOKEN).status == 200
    assert open_pull_request(wire, "b", b"b" * 60_000).status == 413, "closed, but stored"
    assert wire.ask("DELETE", thread + "/ref", token=STRANGER_TOKEN).status == 200
    second = open_pull_request(wire, "d", b"d" * 60_000)
    assert second.status == 200
    number = second.json()["pullRequestUrl"].rpartition("/")[2]
    merge = f"/api/models/lab/run/discussions/{number}/merge"
    assert wire.ask("POST", merge, {}, token=OWNER_TOKEN).status == 200
    assert open_pull_request(wire, "e", b"e" * 60_000).status == 200


def test_uploads_in_progress_count_with_all_their_bytes(wire, tmp_path):
    first, second = b"1" * 60_000, b"2" * 60_000
    addresses = [wire.upload_address("lab/run", data, token=STRANGER_TOKEN) for data in (first, second)]
    with socket.create_connection(("127.0.0.1", wire.port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"PUT {addresses[0]} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n1".encode())
        deadline = time.monotonic() + DEADLINE_S
        while not any((tmp_path / "hub" / "incoming").iterdir()):
            assert time.monotonic() < deadline
            wire.ask("GET", "/api/models/lab/run")
        assert wire.ask("PUT", addresses[1], second).status == 413
        connection.sendall(first[1:])
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_an_upload_in_parts_counts_whole_from_its_first_part_on(tmp_path):
    limits = HubLimits(max_user_bytes=MAX_BYTES, multipart_from_bytes=50_000, part_bytes=10_000)
    with HubServer(tmp_path, open_registration=True, limits=limits) as hub:
        add_user(tmp_path, "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        upload = wire.batch("lab/run", b"1" * 60_000, token=STRANGER_TOKEN)["actions"]["upload"]
        address = upload["header"]["2"].partition(f":{hub.port}")[2]
        assert wire.ask("PUT", address, b"1" * 10_000).status == 200
        assert wire.batch("lab/run", b"2" * 60_000, token=STRANGER_TOKEN)["error"]["code"] == 413
        assert wire.ask("PUT", address, b"1" * 10_000).status == 200, "its other parts are not refused"


def test_comments_count(wire):
    body = {"title": "talk", "description": "x" * 30_000}
    assert wire.ask("POST", "/api/models/lab/run/discussions", body, token=STRANGER_TOKEN).status == 200
    comment = {"comment": "x" * 60_000}
    assert wire.ask("POST", "/api/models/lab/run/discussions/1/comment", comment, token=STRANGER_TOKEN).status == 413
    assert wire.ask("POST", "/api/models/lab/run/discussions/1/comment", comment, token=OWNER_TOKEN).status == 200


def test_a_database_of_version_1_is_read_and_gains_what_is_new(tmp_path):
    with HubServer(tmp_path) as hub:
        add_user(tmp_path, "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        assert wire.commit("lab/run", small_file("a/b.txt", b"b")).status == 200
    with contextlib.closing(sqlite3.connect(tmp_path / "hub.sqlite3")) as db:
        db.executescript("DROP TABLE pull_contents; DROP INDEX events_by_author; PRAGMA user_version = 1")
    with HubServer(tmp_path, open_registration=True) as hub:
        wire = Wire(hub.port)
        assert wire.ask("GET", "/lab/run/resolve/main/a/b.txt").body == b"b"
        assert open_pull_request(wire, "a/c.txt", b"c").status == 200
