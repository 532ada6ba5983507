"""What a reader is given, byte by byte: ETags, ranges, listings, pages, the traffic account."""

import hashlib
import json

import pytest
from hub_process import OWNER_TOKEN, STRANGER_TOKEN, HubProcess, Wire, lfs_file, small_file

from paris.coordinator.hub import HubServer, add_user

CONTENT = bytes(range(256)) * 40
FILE = "/lab/run/resolve/main/data.bin"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub(data_dir):
    add_user(data_dir, "lab", OWNER_TOKEN)
    with HubServer(data_dir, open_registration=True) as hub:
        yield hub


@pytest.fixture(scope="module")
def wire(hub):
    wire = Wire(hub.port)
    wire.create_repo("run")
    oid = wire.send_object("lab/run", CONTENT)
    assert wire.commit("lab/run", lfs_file("data.bin", oid), small_file("note.txt", b"hello\n")).status == 200
    return wire


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


def test_cards_that_would_unfold_are_refused_and_strange_ones_do_no_harm(wire):
    bomb = "---\na: &a [x, x]\nb: [*a, *a]\n---\n"
    answer = wire.ask("POST", "/api/validate-yaml", {"content": bomb, "repoType": "model"}, token=OWNER_TOKEN)
    assert answer.status == 400
    assert "anchors" in answer.json()["errors"][0]["message"]
    plain = ["[1, 2]", "a: 2024-01-01\n1: x\ntags: {a: b}", "tags: [" * 3000, "!!python/object:os.system {}"]
    for front in [*plain, "a: .inf", 'a: "\\ud800"']:
        card = small_file("README.md", f"---\n{front}\n---\n<script>alert(1)</script>".encode())
        assert wire.commit("lab/run", card).status == 200
        assert wire.ask("GET", "/api/models/lab/run").status == 200
        assert wire.ask("GET", "/api/models").status == 200
    long = {"content": f"---\ntags: [{'x, ' * 30_000}]\n---\n", "repoType": "model"}
    assert wire.ask("POST", "/api/validate-yaml", long, token=OWNER_TOKEN).status == 400
    for config in (b'{"model_type": NaN}', b'{"model_type": "\\ud800"}', b"[" * 100_000, b"\xff"):
        assert wire.commit("lab/run", small_file("config.json", config)).status == 200
        assert wire.ask("GET", "/api/models/lab/run").status == 200


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
    assert len(seen) >= 4
    commits, path = [], "/api/models/lab/run/commits/main?limit=1"
    while path:
        answer = wire.ask("GET", path)
        commits += answer.json()
        path = answer.headers.get("Link", "").partition(f":{wire.port}")[2].partition(">")[0]
    assert commits == wire.ask("GET", "/api/models/lab/run/commits/main").json()


def test_traffic_is_counted_by_user_repository_and_part(wire, data_dir):
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
    admin = (data_dir / "admin.token").read_text().strip()
    report = wire.ask("GET", "/api/paris/traffic", token=admin).json()
    of_busy = {(e["user"][:5], e["part"]): e for e in report["entries"] if e["repo"] == "datasets/lab/busy"}
    assert of_busy["user-", "shards"]["downloaded_bytes"] == 1500
    assert of_busy["lab", "(commits)"]["uploaded_bytes"] == len(line)
    assert report["downloaded_bytes"] >= 1500


def test_repositories_are_listed_in_pages_of_which_each_looks_at_few(tmp_path):
    hub = HubProcess(tmp_path / "hub", limits={"page_entries": 3})
    wire = Wire(hub.port)
    for number in range(8):
        wire.create_repo(f"run-{number}", private=number == 5)
    tagged = small_file("README.md", b"---\ntags: [wanted]\n---\n")
    assert wire.commit("lab/run-1", tagged).status == 200

    def pages(link: str, token: str | None = None) -> list[list[str]]:
        found = []
        while link:
            answer = wire.ask("GET", link, token=token)
            found.append([entry["id"].removeprefix("lab/run-") for entry in answer.json()])
            link = (answer.headers["Link"] or "").partition(f"<{hub.url}")[2].partition(">")[0]
        return found

    newest_first = "/api/models?sort=createdAt"
    assert pages(newest_first) == [["7", "6", "4"], ["3", "2", "1"], ["0"]]
    assert pages(newest_first, OWNER_TOKEN) == [["7", "6", "5"], ["4", "3", "2"], ["1", "0"]]
    assert pages(newest_first + "&direction=1&limit=2&search=RUN") == [["0", "1"], ["2", "3"], ["4", "6"], ["7"]]
    assert pages(newest_first + "&filter=wanted") == [[], ["1"], []]
    assert pages("/api/models?author=lab")[0][0] == "1"
    assert pages("/api/models?author=nobody") == [[]]
    assert wire.ask("GET", "/?limit=3").body.count(b">lab/run-") == 3
    assert b"?cursor=3" in wire.ask("GET", "/?limit=3").body
    hub.stop()


def test_branches_and_tags_are_bounded_and_pull_requests_are_listed_in_pages_newest_first(tmp_path):
    hub = HubProcess(tmp_path / "hub", limits={"page_entries": 5, "max_repo_refs": 3})
    wire = Wire(hub.port)
    wire.create_repo("run")
    for number in range(12):
        assert wire.commit("lab/run", small_file(f"{number}.txt", b"x"), query="?create_pr=1").status == 200
    made = [wire.ask("POST", f"/api/models/lab/run/branch/b{n}", {}, token=OWNER_TOKEN) for n in range(3)]
    assert [answer.status for answer in made] == [200, 200, 413]
    assert made[2].headers["X-Error-Message"] == "A repository may have at most 3 branches and tags."
    tag = wire.ask("POST", "/api/models/lab/run/tag/main", {"tag": "v1"}, token=OWNER_TOKEN)
    assert tag.status == 413

    link, found = "/api/models/lab/run/refs?include_prs=1", []
    while link:
        answer = wire.ask("GET", link)
        page = answer.json()
        assert [ref["name"] for ref in page["branches"]] == ["b0", "b1", "main"]
        found.append([int(ref["name"]) for ref in page["pullRequests"]])
        assert all(ref["ref"] == f"refs/pr/{ref['name']}" for ref in page["pullRequests"])
        link = (answer.headers["Link"] or "").partition(f"<{hub.url}")[2].partition(">")[0]
    assert found == [[12, 11, 10, 9, 8], [7, 6, 5, 4, 3], [2, 1]]
    plain = wire.ask("GET", "/api/models/lab/run/refs")
    assert (plain.json()["pullRequests"], plain.headers["Link"]) == ([], None)
    hub.stop()
