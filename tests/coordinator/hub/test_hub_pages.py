"""The Hub in a browser: links that lead somewhere, strangers' texts that do nothing, what each page shows."""

import hashlib
import io
import json
import struct
from urllib.parse import urljoin, urlsplit

import pytest
from hub_process import OWNER_TOKEN, STRANGER_TOKEN, Wire, lfs_file, small_file
from page_reader import Page
from PIL import Image

from paris.coordinator.hub import HubServer, add_user

CARD = """---
license: apache-2.0
tags: [paris, '<i>']
---
# A run

See [the report](docs/report.md#how), [a heading](#experts), [a site](https://example.org/) and [a trap](javascript:x).

![a sample](docs/s%20one.png) ![a drawing](docs/x.svg) ![elsewhere](https://example.org/x.png) [up](../../etc/passwd)

## Experts

| expert | loss |
| --- | ---: |
| 0 | 0.5 |

<script>alert('x')</script> <img src=x onerror=alert(1)>
"""
HOSTILE = ["<u>hm</u>", "a'\"><script>x</script>", "\u202etxt.exe"]
OLD, NEW = b"\0old" * 300, b"\0new!" * 300
REPO = "/lab/shown"


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, "PNG")
    return file.getvalue()


def tensors(num: int) -> bytes:
    header = {
        f"block.{i}": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24 * i, 24 * i + 24]} for i in range(num)
    }
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(24 * num)


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    data = tmp_path_factory.mktemp("hub")
    add_user(data, "lab", OWNER_TOKEN)
    with HubServer(data, open_registration=True) as hub:
        wire = Wire(hub.port)
        wire.create_repo("shown")
        wire.create_repo("refs", type="dataset")
        wire.create_repo("hidden", private=True)
        _fill(wire)
        yield wire


def _fill(wire: Wire) -> None:
    files = {
        "README.md": CARD.encode(),
        "docs/report.md": b"# How\n\n[back](../README.md) ![s](./s%20one.png)",
        "docs/s one.png": picture(),
        "docs/x.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "x.html": b"<script>alert(1)</script>",
        "note.txt": b"one\ntwo\n",
        "long.txt": "\u00fc".encode() * 200_000,
        **{f"names/{name.replace('/', '-')}": b"1" for name in HOSTILE[:2]},
    }
    sent = wire.send_object("lab/shown", tensors(3))
    lines = [small_file(path, data) for path, data in files.items()]
    old = lfs_file("data.bin", wire.send_object("lab/shown", OLD))
    assert wire.commit("lab/shown", *lines, old, lfs_file("e.safetensors", sent)).status == 200
    new = lfs_file("data.bin", wire.send_object("lab/shown", NEW))
    assert wire.commit("lab/shown", new, small_file("note.txt", b"one\n<b>2</b>\n")).status == 200
    for i, title in enumerate(HOSTILE):
        file = small_file(f"submissions/{i}.json", b"{}")
        assert wire.commit("lab/shown", file, token=STRANGER_TOKEN, query="?create_pr=1").status == 200
        wire.ask("POST", f"/api/models{REPO}/discussions/{i + 1}/title", {"title": title}, token=STRANGER_TOKEN)
    body = {"title": "<s>talk</s>", "description": f"{HOSTILE[1]}\n\n[x](javascript:y)\n\n" + ">" * 999}
    assert wire.ask("POST", f"/api/models{REPO}/discussions", body, token=STRANGER_TOKEN).status == 200
    for kind, value in (("branch/state-expert-0", {}), ("tag/main", {"tag": "expert-3/step-100"})):
        assert wire.ask("POST", f"/api/models{REPO}/{kind}", value, token=OWNER_TOKEN).status == 200


def test_every_link_leads_to_a_page_that_can_do_nothing(wire):
    """Followed from the list of repositories, as a reader does."""
    seen, waiting = {}, ["/"]
    while waiting:
        path = waiting.pop()
        answer = wire.ask("GET", path)
        seen[path] = answer.status
        if "/resolve/" in path:
            assert answer.headers["Content-Security-Policy"] == "sandbox"
            continue
        page = Page(answer.body)
        assert (path, answer.status, page.problems()) == (path, 200, [])
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for address in page.links() + [image["src"] for image in page.all("img")]:
            found = urlsplit(urljoin(f"http://hub{path}", address))
            if found.netloc == "hub":
                target = found.path + (f"?{found.query}" if found.query else "")
                if target not in seen and target not in waiting:
                    waiting.append(target)
    everything = (
        "/tree/main/docs",
        "/blob/main/docs/s%20one.png",
        "/tree/expert-3%2Fstep-100",
        "/discussions/4",
        "/resolve/main/x.html",
    )
    assert {f"{REPO}{path}" for path in everything} <= seen.keys()
    assert "/datasets/lab/refs/refs" in seen
    assert not any("hidden" in path for path in seen)


def test_a_card_is_rendered_without_its_traps(wire):
    page = Page(wire.ask("GET", REPO).body)
    assert {"/lab/shown/blob/main/docs/report.md", "#card-experts", "https://example.org/"} <= set(page.links())
    assert page.all("img") == [
        {"src": "/lab/shown/resolve/main/docs/s%20one.png", "alt": "a sample", "loading": "lazy"}
    ]
    assert "/lab/shown/blob/main/docs/x.svg" in page.links()
    assert not any("passwd" in link or "javascript" in link for link in page.links())
    assert "card-experts" in [heading.get("id") for heading in page.all("h4")]
    assert "<script>alert('x')</script> <img src=x onerror=alert(1)>" in page.text
    assert "apache-2.0" in page.text


def test_pictures_have_a_type_and_what_may_hold_scripts_has_none(wire):
    types = {
        path: wire.ask("HEAD", f"{REPO}/resolve/main/docs/{path}").headers["Content-Type"]
        for path in ("s%20one.png", "x.svg")
    }
    assert types == {"s%20one.png": "image/png", "x.svg": "application/octet-stream"}
    shown = Page(wire.ask("GET", f"{REPO}/blob/main/x.html").body)
    assert "<script>alert(1)</script>" in shown.text


def test_a_commit_shows_lines_of_texts_and_size_and_sha256_of_others(wire):
    sha = wire.ask("GET", f"/api/models{REPO}").json()["sha"]
    page = wire.ask("GET", f"{REPO}/commit/{sha}").body.decode()
    assert "<del>-two</del>" in page
    assert "<ins>+&lt;b&gt;2&lt;/b&gt;</ins>" in page
    for data in (OLD, NEW):
        assert f"<code>{hashlib.sha256(data).hexdigest()}</code>" in page
    assert "1.2 kB" in page
    assert "1.5 kB" in page


def test_a_long_text_is_shown_in_part_without_half_a_character(wire):
    text = Page(wire.ask("GET", f"{REPO}/blob/main/long.txt").body).text
    assert text.count("\u00fc") == 256 * 1024 // 2
    assert "The first 262 kB of 400 kB." in text
    assert "The file is no text." in Page(wire.ask("GET", f"{REPO}/blob/main/data.bin").body).text


def test_a_safetensors_file_shows_its_header_in_pages(wire):
    page = Page(wire.ask("GET", f"{REPO}/blob/main/e.safetensors?limit=2").body)
    assert "block.1" in page.text
    assert "block.2" not in page.text
    assert "18 values" in page.text
    assert "block.2" in Page(wire.ask("GET", f"{REPO}/blob/main/e.safetensors?cursor=2").body).text


def test_folders_come_in_pages_that_follow_each_other(wire):
    seen, path = [], f"{REPO}/tree/main?limit=3"
    while path:
        page = Page(wire.ask("GET", path).body)
        seen += [link.rpartition("/")[2] for link in page.links() if "/tree/main/" in link or "/blob/main/" in link]
        following = [a["href"] for a in page.all("a") if a.get("rel") == "next"]
        path = f"{REPO}/tree/main{following[0]}&limit=3" if following else ""
    assert seen == ["docs", "names", "README.md", "data.bin", "e.safetensors", "long.txt", "note.txt", "x.html"]


def test_the_owners_word_on_a_closed_pull_request_is_its_status(wire):
    def close(num: int, text: str, token: str) -> None:
        body = {"status": "closed", "comment": text}
        assert wire.ask("POST", f"/api/models{REPO}/discussions/{num}/status", body, token=token).status == 200

    close(
        1,
        "**Registered** as expert-0 in [`abc`](/lab/shown/commit/abc).\n\n| a |\n| - |\n\nparis-verdict: {}",
        OWNER_TOKEN,
    )
    close(2, "**Registered** as expert-9.", STRANGER_TOKEN)
    table = wire.ask("GET", f"{REPO}/discussions?status=closed").body.decode()
    assert '<strong>Registered</strong> as expert-0 in <a href="/lab/shown/commit/abc"' in table
    assert "expert-9" not in table
    thread = Page(wire.ask("GET", f"{REPO}/discussions/1").body)
    assert {"class": "outcome"} in thread.all("p")
    assert "Signed verdict" in thread.text
    assert {"class": "outcome"} not in Page(wire.ask("GET", f"{REPO}/discussions/2").body).all("p")


def test_a_long_thread_shows_its_newest_comments(wire):
    for number in range(4):
        body = {"comment": f"comment {number}\n\n" + "word\n\n" * 10_000}
        assert wire.ask("POST", f"/api/models{REPO}/discussions/4/comment", body, token=OWNER_TOKEN).status == 200
    text = Page(wire.ask("GET", f"{REPO}/discussions/4").body).text
    assert "2 earlier events are not shown." in text
    assert [number for number in range(4) if f"comment {number}" in text] == [1, 2, 3]


def test_private_pages_are_as_absent_as_missing_ones(wire):
    for below in ("", "/tree/main", "/refs", "/commits/main", "/discussions"):
        hidden, missing = (wire.ask("GET", f"/lab/{name}{below}") for name in ("hidden", "absent"))
        assert hidden.status == missing.status == 404
        assert hidden.body.replace(b"hidden", b"absent") == missing.body
        assert Page(hidden.body).problems() == []
        assert wire.ask("GET", f"/lab/hidden{below}", token=OWNER_TOKEN).status == 200
    for path in (f"{REPO}/blob/main/none", f"{REPO}/tree/none", f"{REPO}/commit/{'0' * 40}", f"{REPO}/discussions/99"):
        assert (wire.ask("GET", path).status, Page(wire.ask("GET", path).body).problems()) == (404, [])
