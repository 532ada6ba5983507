"""What a strange, broken or hostile client is told."""

import hashlib

import pytest
from hub_process import OTHER_TOKEN, OWNER_TOKEN, STRANGER_TOKEN, HubProcess, Wire, lfs_file, small_file

LIMITS = {
    "max_commit_bytes": 200_000,
    "max_request_bytes": 100_000,
    "max_commit_operations": 20,
    "max_repo_files": 30,
    "max_object_bytes": 1_000_000,
    "max_user_bytes": 500_000,
    "max_open_threads": 2,
}
CONTENT = b"some weights" * 100
FILE = "/lab/run/resolve/main/data.bin"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = HubProcess(tmp_path_factory.mktemp("hub"), limits=LIMITS)
    yield hub
    assert hub.stop() == 0


@pytest.fixture(scope="module")
def wire(hub):
    wire = Wire(hub.port)
    wire.create_repo("run")
    oid = wire.send_object("lab/run", CONTENT)
    assert wire.commit("lab/run", lfs_file("data.bin", oid), small_file("note.txt", b"hello\n")).status == 200
    return wire


def test_an_object_is_taken_only_at_a_signed_address_and_only_whole(wire, hub):
    data = b"signed" * 100
    oid = hashlib.sha256(data).hexdigest()
    good = wire.upload_address("lab/run", data, token=STRANGER_TOKEN)
    path, _, query = good.partition("?")
    assert wire.ask("PUT", path, data).status == 403
    assert wire.ask("PUT", f"{path}?{query[:-1]}", data).status == 403
    assert wire.ask("PUT", good.replace(f"size={len(data)}", "size=9999"), data).status == 403
    assert wire.ask("PUT", good.replace(oid, "0" * 64), data).status == 403
    assert wire.ask("PUT", good, data[:-1]).status == 400
    assert wire.ask("PUT", good, b"x" * len(data)).status == 400
    assert wire.ask("PUT", good, data + b"x").status == 413
    assert not (hub.data_dir / "blobs" / oid[:2] / oid).exists()
    assert list((hub.data_dir / "incoming").iterdir()) == []
    assert wire.ask("PUT", good, data).status == 200
    assert (hub.data_dir / "blobs" / oid[:2] / oid).read_bytes() == data


@pytest.mark.parametrize(
    "path",
    [
        *(
            "../x",
            "/etc/x",
            "a/../../x",
            "a//b",
            "./x",
            "a/.",
            ".git/config",
            "a/.GIT/hooks/x",
            "",
            "a\\b",
            "a\0b",
            "a\nb",
        ),
        "x" * 300,
        "a/" * 40 + "x",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(wire, path):
    assert wire.commit("lab/run", small_file(path, b"x")).status == 400
    files = {"files": [{"path": path, "size": 1, "sample": ""}]}
    assert wire.ask("POST", "/api/models/lab/run/preupload/main", files, token=OWNER_TOKEN).status == 400


def test_reading_paths_that_lead_elsewhere_finds_nothing(wire, hub):
    for path in ("..%2F..%2Fadmin.token", "../../../admin.token", "%2Fetc%2Fpasswd", "%ff"):
        answer = wire.ask("GET", f"/lab/run/resolve/main/{path}")
        assert answer.status in (400, 404)
    assert (hub.data_dir / "admin.token").stat().st_mode & 0o077 == 0


def test_a_commit_that_names_an_object_never_uploaded_is_refused(wire):
    assert wire.commit("lab/run", lfs_file("x.bin", "ab" * 32, size=5)).status == 400


def test_a_commit_that_lies_about_a_size_is_refused(wire):
    oid = hashlib.sha256(CONTENT).hexdigest()
    assert wire.commit("lab/run", lfs_file("x.bin", oid, size=5)).status == 400


def test_knowing_a_hash_gives_nobody_the_content_of_a_private_repository(wire):
    wire.create_repo("secret", private=True)
    oid = wire.send_object("lab/secret", b"heldout rows")
    assert wire.commit("lab/secret", lfs_file("heldout.bin", oid)).status == 200
    theirs = lfs_file("mine.bin", oid, size=12)
    assert wire.commit("lab/run", theirs, token=STRANGER_TOKEN, query="?create_pr=1").status == 400
    assert "actions" in wire.batch("lab/run", b"heldout rows", token=STRANGER_TOKEN)
    assert "actions" not in wire.batch("lab/secret", b"heldout rows", token=OWNER_TOKEN)
    assert wire.ask("GET", "/api/models/lab/secret", token=STRANGER_TOKEN).headers["X-Error-Code"] == "RepoNotFound"


def test_strangers_open_pull_requests_and_touch_nobody_elses(wire):
    mine = wire.commit("lab/run", small_file("w.txt", b"w"), token=STRANGER_TOKEN, query="?create_pr=1").json()
    num = mine["pullRequestUrl"].rpartition("/")[2]
    ref = f"refs%2Fpr%2F{num}"
    more = small_file("more.txt", b"more")
    assert wire.commit("lab/run", more, token=STRANGER_TOKEN).status == 403
    assert wire.commit("lab/run", more, token=OTHER_TOKEN, rev=ref).status == 403
    assert wire.commit("lab/run", more, token=STRANGER_TOKEN, rev=ref).status == 200
    assert wire.commit("lab/run", small_file("o.txt", b"o"), token=OWNER_TOKEN, rev=ref).status == 200
    thread = f"/api/models/lab/run/discussions/{num}"
    assert wire.ask("POST", thread + "/status", {"status": "closed"}, token=OTHER_TOKEN).status == 403
    assert wire.ask("POST", thread + "/title", {"title": "stolen"}, token=OTHER_TOKEN).status == 403
    assert wire.ask("DELETE", thread + "/ref", token=OTHER_TOKEN).status == 403
    assert wire.ask("POST", thread + "/comment", {"comment": "hi"}).status == 401
    assert wire.ask("POST", thread + "/comment", {"comment": "hi"}, token=OTHER_TOKEN).status == 200
    second = small_file("v.txt", b"v")
    assert wire.commit("lab/run", second, token=STRANGER_TOKEN, query="?create_pr=1").status == 200
    assert wire.commit("lab/run", second, token=STRANGER_TOKEN, query="?create_pr=1").status == 403, "two at a time"


def test_many_upload_addresses_do_not_get_around_the_bound_on_pending_bytes(wire):
    contents = [bytes([n]) * 300_000 for n in (1, 2)]
    addresses = [wire.upload_address("lab/run", data, token=OTHER_TOKEN) for data in contents]
    statuses = [wire.ask("PUT", address, data).status for address, data in zip(addresses, contents, strict=True)]
    assert statuses == [200, 413]


def test_bounds_on_bodies_files_and_objects_hold(wire):
    many = [small_file(f"many/{n}.txt", b"x") for n in range(21)]
    assert wire.commit("lab/run", *many).status == 413
    assert wire.commit("lab/run", *many[:15]).status == 200
    others = [small_file(f"others/{n}.txt", b"x") for n in range(20)]
    assert wire.commit("lab/run", *others).status == 413
    assert wire.commit("lab/run", small_file("large.txt", b"x" * 160_000)).status == 413
    assert wire.ask("POST", "/api/validate-yaml", b"x" * 100_001, token=OWNER_TOKEN).status == 413
    assert wire.batch("lab/run", b"x" * 1_000_001, token=OWNER_TOKEN)["error"]["code"] == 413
    assert wire.batch("lab/run", b"x" * 500_001, token=STRANGER_TOKEN)["error"]["code"] == 413


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/repos/create", b"not json"),
        ("POST", "/api/repos/create", b'{"name": 5}'),
        ("POST", "/api/repos/create", b'{"name": "a--b", "organization": "lab"}'),
        ("POST", "/api/repos/create", b'{"name": "x.git", "organization": "lab"}'),
        ("POST", "/api/repos/create", b'{"name": "x", "organization": "lab", "type": "space"}'),
        ("POST", "/api/models/lab/run/commit/main", b""),
        ("POST", "/api/models/lab/run/commit/main", b'{"key": "header"}'),
        ("POST", "/api/models/lab/run/commit/main", b'{"key": "rm -rf", "value": {}}'),
        ("POST", "/api/models/lab/run/commit/main", b"\xff\xfe"),
        ("POST", "/api/models/lab/run/paths-info/main", b"\xff"),
        ("POST", "/api/models/lab/run/discussions", b'{"title": ""}'),
        ("POST", "/api/models/lab/run/branch/refs%2Fpr%2F9", b"{}"),
        ("POST", "/api/models/lab/run/tag/main", b'{"tag": "../x"}'),
        ("POST", "/lab/run.git/info/lfs/objects/batch", b'{"operation": "download", "objects": []}'),
        (
            "POST",
            "/lab/run.git/info/lfs/objects/batch",
            b'{"operation": "upload", "objects": [{"oid": "../x", "size": 1}]}',
        ),
        ("GET", "/api/models/lab/run/tree/main?cursor=-1", None),
        ("GET", "/api/models/lab/run/discussions?status=strange", None),
        ("DELETE", "/api/models/lab/run/branch/main", None),
    ],
)
def test_what_cannot_be_understood_is_a_400_with_a_reason(wire, method, path, body):
    answer = wire.ask(method, path, body, token=OWNER_TOKEN)
    assert answer.status == 400, answer.body
    assert answer.headers["X-Error-Message"]
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/agent-harnesses", 404),
        ("GET", "/api/models/lab/run/xet-write-token/main", 404),
        ("PATCH", "/api/models/lab/run", 405),
        ("GET", "/api/models/lab/run/discussions/0", 404),
        ("GET", "/api/models/lab/run/discussions/99999999999", 404),
        ("GET", "//", 404),
        ("GET", "/" + "x/" * 500, 404),
    ],
)
def test_unknown_addresses_are_4xx(wire, method, path, status):
    assert wire.ask(method, path).status == (200 if path == "//" else status)


def test_wrong_tokens_are_401_everywhere(wire):
    for method, path in (("GET", "/api/whoami-v2"), ("GET", FILE), ("GET", "/")):
        answer = wire.ask(method, path, token="hf_wrong")
        assert (answer.status, answer.headers["X-Error-Message"]) == (
            401,
            "Invalid credentials in Authorization header",
        )
    assert wire.ask("GET", FILE, headers={"Authorization": "Basic abc"}).status == 401
    assert wire.ask("GET", "/api/whoami-v2").status == 401


def test_a_host_header_that_is_no_address_does_no_harm(wire):
    data = b"host"
    body = {"operation": "upload", "objects": [{"oid": hashlib.sha256(data).hexdigest(), "size": 4}]}
    path = "/lab/run.git/info/lfs/objects/batch"
    answer = wire.ask("POST", path, body, token=OWNER_TOKEN, headers={"Host": "[::1"})
    assert answer.json()["objects"][0]["actions"]["upload"]["href"].startswith(f"http://127.0.0.1:{wire.port}/lfs/")
