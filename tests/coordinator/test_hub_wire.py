"""What a strange, broken or hostile client is told, word by word on the wire."""

import hashlib
import json

import pytest
from hub_process import OTHER_TOKEN, OWNER_TOKEN, STRANGER_TOKEN, HubProcess, Wire, lfs_file, small_file

LIMITS = {
    "max_commit_bytes": 200_000,
    "max_request_bytes": 100_000,
    "max_commit_operations": 20,
    "max_repo_files": 30,
    "max_object_bytes": 1_000_000,
    "max_pending_bytes": 500_000,
    "max_open_pull_requests": 2,
}
CONTENT = bytes(range(256)) * 40


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


FILE = "/lab/run/resolve/main/data.bin"


def test_etags_are_the_sha256_of_lfs_files_and_the_git_sha1_of_others_in_every_answer(wire):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    blob_sha1 = "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object of "hello\n"
    assert wire.ask("HEAD", FILE).headers["ETag"] == f'"{sha256}"'
    assert wire.ask("HEAD", "/lab/run/resolve/main/note.txt").headers["ETag"] == f'"{blob_sha1}"'
    tree = {entry["path"]: entry for entry in wire.ask("GET", "/api/models/lab/run/tree/main").json()}
    assert tree["data.bin"]["lfs"]["oid"] == sha256
    assert tree["note.txt"]["oid"] == blob_sha1
    files = [{"path": path, "size": 6, "sample": ""} for path in ("data.bin", "note.txt")]
    preupload = wire.ask("POST", "/api/models/lab/run/preupload/main", {"files": files}, token=OWNER_TOKEN).json()
    assert [file["oid"] for file in preupload["files"]] == [sha256, blob_sha1]
    siblings = wire.ask("GET", "/api/models/lab/run?blobs=true").json()["siblings"]
    assert [s.get("lfs", {}).get("sha256") or s["blobId"] for s in siblings] == [sha256, blob_sha1]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=10000-", 10000, len(CONTENT) - 1),
        ("bytes=-5", len(CONTENT) - 5, len(CONTENT) - 1),
        ("bytes=-999999", 0, len(CONTENT) - 1),
        ("bytes=5-999999", 5, len(CONTENT) - 1),
    ],
)
def test_ranges_give_exactly_the_bytes_asked_for(wire, asked, first, last):
    answer = wire.ask("GET", FILE, headers={"Range": asked})
    assert answer.status == 206
    assert answer.body == CONTENT[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    head = wire.ask("HEAD", FILE, headers={"Range": asked})
    assert (head.status, head.headers["Content-Length"]) == (206, str(last - first + 1))


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=999999-1000000", "bytes=-0"])
def test_ranges_outside_of_the_file_are_416_with_its_size(wire, asked):
    answer = wire.ask("GET", FILE, headers={"Range": asked})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("asked", ["bytes=9-3", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b"])
def test_ranges_that_mean_nothing_give_the_whole_file(wire, asked):
    answer = wire.ask("GET", FILE, headers={"Range": asked})
    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_range_holds_only_while_the_file_is_the_same(wire):
    etag = wire.ask("HEAD", FILE).headers["ETag"]
    fresh = wire.ask("GET", FILE, headers={"Range": "bytes=0-9", "If-Range": etag})
    stale = wire.ask("GET", FILE, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (fresh.status, stale.status, stale.body) == (206, 200, CONTENT)
    assert wire.ask("GET", FILE, headers={"If-None-Match": etag}).status == 304


def test_missing_things_carry_the_codes_that_the_client_reads(wire):
    cases = {
        "/api/models/lab/none": "RepoNotFound",
        "/api/models/none": "RepoNotFound",
        "/lab/none/resolve/main/x": "RepoNotFound",
        "/lab/run/resolve/v9/data.bin": "RevisionNotFound",
        "/api/models/lab/run/tree/refs%2Fpr%2F7": "RevisionNotFound",
        "/lab/run/resolve/main/x": "EntryNotFound",
        "/api/models/lab/run/tree/main/x": "EntryNotFound",
    }
    answers = {path: wire.ask("GET", path) for path in cases}
    assert {path: answer.headers["X-Error-Code"] for path, answer in answers.items()} == cases
    assert {answer.status for answer in answers.values()} == {404}
    assert len(answers["/lab/run/resolve/main/x"].headers["X-Repo-Commit"]) == 40


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


def test_cards_that_would_unfold_are_refused_and_strange_ones_do_no_harm(wire):
    bomb = "---\na: &a [x, x]\nb: [*a, *a]\n---\n"
    answer = wire.ask("POST", "/api/validate-yaml", {"content": bomb, "repoType": "model"}, token=OWNER_TOKEN)
    assert answer.status == 400
    assert "anchors" in answer.json()["errors"][0]["message"]
    for front in ("[1, 2]", "a: 2024-01-01\n1: x\ntags: {a: b}", "tags: [" * 3000, "!!python/object:os.system {}"):
        card = small_file("README.md", f"---\n{front}\n---\n<script>alert(1)</script>".encode())
        assert wire.commit("lab/run", card).status == 200
        assert wire.ask("GET", "/api/models/lab/run").status == 200
        assert wire.ask("GET", "/api/models").status == 200


def test_pages_show_cards_as_text_and_load_nothing_from_elsewhere(wire):
    wire.create_repo("shown")
    card = b"---\ntags: ['<i>']\n---\n<script>alert('x')</script>"
    assert wire.commit("lab/shown", small_file("README.md", card), small_file("x.html", b"<b>")).status == 200
    wire.ask(
        "POST", "/api/models/lab/shown/discussions", {"title": "<u>hm</u>", "description": "<s>"}, token=OWNER_TOKEN
    )
    for path in ("/", "/lab/shown", "/lab/shown/discussions/1"):
        page = wire.ask("GET", path)
        text = page.body.decode()
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert not any(tag in text for tag in ("<script", "<i>", "<u>", "<s>", "http://www", "src="))
    assert "&lt;script&gt;" in wire.ask("GET", "/lab/shown").body.decode()
    download = wire.ask("GET", "/lab/shown/resolve/main/x.html")
    assert download.headers["Content-Type"] == "application/octet-stream"
    assert download.headers["Content-Security-Policy"] == "sandbox"


def test_listings_come_in_pages_that_follow_each_other(wire):
    seen, path = [], "/api/models/lab/run/tree/main?recursive=true&limit=2"
    while path:
        answer = wire.ask("GET", path)
        seen += [entry["path"] for entry in answer.json()]
        link = answer.headers.get("Link", "")
        path = link.partition(f":{wire.port}")[2].partition(">")[0]
    everything = [entry["path"] for entry in wire.ask("GET", "/api/models/lab/run/tree/main?recursive=true").json()]
    assert seen == everything
    assert len(seen) > 4


def test_traffic_is_counted_by_user_repository_and_part(wire, hub):
    wire.create_repo("busy", type="dataset")
    line = (
        json.dumps({"key": "header", "value": {"summary": "s"}})
        + "\n"
        + json.dumps(small_file("shards/a.txt", b"x" * 500))
    )
    assert wire.ask("POST", "/api/datasets/lab/busy/commit/main", line.encode(), token=OWNER_TOKEN).status == 200
    for _ in range(3):
        wire.ask("GET", "/datasets/lab/busy/resolve/main/shards/a.txt", token=STRANGER_TOKEN)
    assert wire.ask("GET", "/api/paris/traffic", token=STRANGER_TOKEN).status == 403
    admin = (hub.data_dir / "admin.token").read_text().strip()
    report = wire.ask("GET", "/api/paris/traffic", token=admin).json()
    of_busy = {(e["user"][:5], e["part"]): e for e in report["entries"] if e["repo"] == "datasets/lab/busy"}
    assert of_busy["user-", "shards"]["downloaded_bytes"] == 1500
    assert of_busy["lab", "(commits)"]["uploaded_bytes"] == len(line)
    assert report["downloaded_bytes"] >= 1500
