"""Starting, stopping, accounts, and freeing what nobody needs."""

import contextlib
import hashlib
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvicorn
from deadlines import DEADLINE_S
from hub_process import (
    OTHER_TOKEN,
    OWNER_TOKEN,
    STRANGER_TOKEN,
    HubProcess,
    Wire,
    lfs_file,
    small_file,
)
from starlette.applications import Starlette
from starlette.routing import Mount

from paris.coordinator.hub import HubLimits, HubServer, HubStartError, add_user, admin_token, create_app
from paris.coordinator.hub.repositories.sweep import sweep_at_start
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.store import Store
from paris.protocol.errors import NewerFileError, PortTakenError


def test_a_taken_port_a_used_folder_and_a_bad_host_are_one_clear_line(tmp_path):
    with HubServer(tmp_path / "one") as hub:
        with pytest.raises(PortTakenError, match=str(hub.port)):
            HubServer(tmp_path / "two", port=hub.port)
        with pytest.raises(HubStartError, match="Another Hub is using"):
            HubServer(tmp_path / "one")
        with pytest.raises(HubStartError, match=r"no\.such\.host"):
            HubServer(tmp_path / "two", host="no.such.host.invalid")
        command = [
            sys.executable,
            "-m",
            "paris.coordinator.hub",
            "--data",
            str(tmp_path / "two"),
            "--port",
            str(hub.port),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        assert (ran.returncode, ran.stderr.count("\n")) == (PortTakenError.exit_code, 1)
    HubServer(tmp_path / "one", port=hub.port).start().stop()


def test_the_server_ends_when_its_parent_is_gone(tmp_path):
    hub = HubProcess(tmp_path)
    hub.process.stdin.close()
    assert hub.gone() == 0


def test_importing_the_hub_loads_neither_torch_nor_the_client():
    code = "import sys, paris.coordinator.hub; sys.exit(any(m in sys.modules for m in ('torch', 'huggingface_hub')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=DEADLINE_S).returncode == 0


@pytest.fixture
def hub(tmp_path):
    with HubServer(tmp_path / "hub", open_registration=True) as hub:
        add_user(tmp_path / "hub", "lab", OWNER_TOKEN, ["guild"])
        yield hub


@pytest.fixture
def wire(hub):
    wire = Wire(hub.port)
    wire.create_repo("run")
    return wire


def stored(folder: Path) -> set[str]:
    return {file.name for file in folder.glob("blobs/*/*")}


def test_a_rejected_pull_request_costs_no_storage_and_a_registered_copy_stays(wire, tmp_path):
    kept = wire.send_object("lab/run", b"registered", token=STRANGER_TOKEN)
    gone = wire.send_object("lab/run", b"rejected", token=STRANGER_TOKEN)
    lines = [lfs_file("a.bin", kept), lfs_file("b.bin", gone), small_file("c.txt", b"small")]
    opened = wire.commit("lab/run", *lines, token=STRANGER_TOKEN, query="?create_pr=1").json()
    assert wire.commit("lab/run", lfs_file("expert.bin", kept)).status == 200
    thread = "/api/models/lab/run/discussions/1"
    freed = wire.ask("DELETE", thread + "/ref", token=OWNER_TOKEN)
    assert (freed.status, freed.json()) == (200, {"freedBytes": len(b"rejected") + len(b"small")})
    assert stored(tmp_path / "hub") == {kept}
    details = wire.ask("GET", thread + "?diff=1").json()
    assert (details["status"], details["filesWithConflicts"], details["diff"]) == ("closed", [], "")
    assert (
        wire.ask("GET", f"/lab/run/resolve/{opened['commitOid']}/b.bin").headers["X-Error-Code"] == "RevisionNotFound"
    )
    assert wire.ask("GET", "/lab/run/resolve/main/expert.bin").body == b"registered"
    assert wire.ask("DELETE", thread + "/ref", token=OWNER_TOKEN).status == 404
    assert wire.ask("POST", thread + "/status", {"status": "open"}, token=STRANGER_TOKEN).status == 400


def test_a_content_that_somebody_else_just_sent_survives_the_deletion_of_a_pull_request(wire, tmp_path):
    oid = wire.send_object("lab/run", b"the same", token=STRANGER_TOKEN)
    wire.commit("lab/run", lfs_file("a.bin", oid), token=STRANGER_TOKEN, query="?create_pr=1")
    assert "actions" not in wire.batch("lab/run", b"the same", token=OTHER_TOKEN), "public, so it is there already"
    assert wire.ask("DELETE", "/api/models/lab/run/discussions/1/ref", token=STRANGER_TOKEN).json() == {"freedBytes": 0}
    assert wire.commit("lab/run", lfs_file("a.bin", oid), token=OTHER_TOKEN, query="?create_pr=1").status == 200


def test_deleting_a_repository_frees_its_contents_but_those_of_others(wire, tmp_path):
    wire.create_repo("other")
    shared = wire.send_object("lab/run", b"shared")
    own = wire.send_object("lab/run", b"own")
    wire.commit("lab/run", lfs_file("a.bin", shared), lfs_file("b.bin", own))
    wire.commit("lab/other", lfs_file("a.bin", shared))
    body = {"name": "run", "organization": "lab", "type": "model"}
    assert wire.ask("DELETE", "/api/repos/delete", body, token=STRANGER_TOKEN).status == 403
    assert wire.ask("DELETE", "/api/repos/delete", body, token=OWNER_TOKEN).status == 200
    assert stored(tmp_path / "hub") == {shared}


def test_a_commit_that_fails_changes_nothing(wire):
    before = wire.ask("GET", "/api/models/lab/run").json()["sha"]
    lines = [small_file("new.txt", b"new"), {"key": "deletedFile", "value": {"path": "not-there.txt"}}]
    assert wire.commit("lab/run", *lines).status == 404
    assert wire.commit("lab/run", small_file("a", b"x"), small_file("a/b", b"x")).status == 400
    assert wire.commit("lab/run", *lines, token=STRANGER_TOKEN, query="?create_pr=1").status == 404
    assert wire.ask("GET", "/api/models/lab/run").json()["sha"] == before
    assert wire.ask("GET", "/api/models/lab/run/discussions").json()["count"] == 0


def test_of_commits_on_the_same_parent_exactly_one_is_taken(wire):
    head = wire.ask("GET", "/api/models/lab/run").json()["sha"]
    header = {"key": "header", "value": {"summary": "mine", "parentCommit": head}}
    with ThreadPoolExecutor(8) as pool:
        racing = [pool.submit(wire.commit, "lab/run", header, small_file(f"{n}.txt", b"x")) for n in range(8)]
    assert sorted(future.result().status for future in racing) == [200, *[412] * 7]
    assert len(wire.ask("GET", "/api/models/lab/run/commits/main").json()) == 2


def test_a_database_of_a_newer_version_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "hub.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(NewerFileError, match="newer version"):
        Store(path)
    assert path.read_bytes() == before


def test_forgotten_uploads_are_swept_after_a_day_and_fresh_ones_are_not(tmp_path):
    store, blobs = Store(tmp_path / "hub.sqlite3"), BlobStore(tmp_path)
    forgotten = blobs.put(b"forgotten")
    (tmp_path / "incoming" / "half").touch()
    with store.write() as db:
        db.execute("INSERT INTO uploads VALUES (?, 'ada', 9, ?)", (forgotten, time.time()))
    sweep_at_start(store, blobs, time.time(), pending_life_s=86400)
    assert stored(tmp_path) == {forgotten}
    assert not any((tmp_path / "incoming").iterdir())
    sweep_at_start(store, blobs, time.time() + 10, pending_life_s=-10)
    assert stored(tmp_path) == set()
    store.close()


def test_a_volunteers_name_is_not_given_to_another_token_of_the_same_beginning(hub, wire):
    me = wire.ask("GET", "/api/whoami-v2", token=STRANGER_TOKEN).json()
    name = me["name"]
    assert me["auth"]["accessToken"]["role"] == "write", "nodes refuse to train with a token that cannot submit"
    assert name == "user-" + hashlib.sha256(STRANGER_TOKEN.encode()).hexdigest()[:8]
    lookalike = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()[:8]
    with hub.app.hub.store.write() as db:
        db.execute("INSERT INTO users VALUES ('of somebody else', ?, 0)", (f"user-{lookalike}",))
    given = wire.ask("GET", "/api/whoami-v2", token=OTHER_TOKEN).json()["name"]
    assert given == "user-" + hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()[:16]


def test_accounts_added_while_the_hub_runs_hold_at_once_and_bad_ones_are_refused(hub, wire, tmp_path):
    token = "a_new_token_for_ada_lovelace"
    add_user(tmp_path / "hub", "ada", token)
    assert wire.ask("GET", "/api/whoami-v2", token=token).json()["name"] == "ada"
    admin = admin_token(tmp_path / "hub")
    assert wire.ask("POST", "/api/repos/create", {"name": "x", "organization": "ada"}, token=admin).status == 200
    for name, secret in (("user-12345678", token), ("api", token), ("../x", token), ("bob", "short")):
        with pytest.raises(HubStartError):
            add_user(tmp_path / "hub", name, secret)


def test_without_open_registration_unknown_tokens_are_strangers_to_the_hub(tmp_path):
    with HubServer(tmp_path, limits=HubLimits(max_volunteers=1)) as hub:
        assert Wire(hub.port).ask("GET", "/api/whoami-v2", token=STRANGER_TOKEN).status == 401
    with HubServer(tmp_path, open_registration=True, limits=HubLimits(max_volunteers=1)) as hub:
        add_user(tmp_path, "lab", OWNER_TOKEN)
        wire = Wire(hub.port)
        wire.create_repo("run")
        for token, status in ((STRANGER_TOKEN, 200), (OTHER_TOKEN, 403), (STRANGER_TOKEN, 200)):
            assert wire.ask("GET", "/api/whoami-v2", token=token).status == 200
            body = {"operation": "upload", "objects": []}
            assert wire.ask("POST", "/lab/run.git/info/lfs/objects/batch", body, token=token).status == status


def test_mounted_below_a_path_the_hub_gives_out_addresses_below_it(tmp_path):
    add_user(tmp_path, "lab", OWNER_TOKEN)
    app = create_app(tmp_path)
    config = uvicorn.Config(Starlette(routes=[Mount("/hub", app)]), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        wire = Wire(listener.getsockname()[1])
        body = {"name": "run", "organization": "lab"}
        made = wire.ask("POST", "/hub/api/repos/create", body, token=OWNER_TOKEN).json()
        assert made["url"] == f"http://127.0.0.1:{wire.port}/hub/lab/run"
        assert wire.ask("GET", "/hub/api/models/lab/run/tree/refs%2Fheads%2Fmain").json() == []
        assert wire.ask("GET", "/hub/").status == 200
        server.should_exit = True
        thread.join()
    app.close()
