"""`paris-coord browse` against an embedded Hub: what it reads, and that strangers' texts do nothing to the terminal."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S
from hub_process import OWNER_TOKEN, STRANGER_TOKEN, Wire, lfs_file, small_file

from paris.coordinator.cli.browsing import browse
from paris.coordinator.errors import ConfigError, HubError, NotOnHubError
from paris.coordinator.hub import HubServer, add_user
from paris.coordinator.run_hub import browsing_tables as tables
from paris.coordinator.run_hub.browsing import HubReader, plain_text

CARD = "---\ntags: [paris]\n---\n# A run\n\x1b]0;renamed\x07 [a link](https://example.org/x)\n"
RED = "\x1b[31m"


def safetensors() -> bytes:
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    raw = json.dumps({"w": entry, "__metadata__": {"format": "pt"}}).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(24)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    data = tmp_path_factory.mktemp("hub")
    add_user(data, "lab", OWNER_TOKEN)
    with HubServer(data, open_registration=True) as hub:
        wire = Wire(hub.port)
        wire.create_repo("run")
        wire.create_repo("data", type="dataset")
        wire.create_repo("hidden", private=True)
        sent = wire.send_object("lab/run", safetensors())
        files = [small_file("README.md", CARD.encode()), small_file("docs/a.txt", f"{RED}text".encode())]
        wire.commit("lab/run", *files, lfs_file("w.safetensors", sent), small_file("odd.safetensors", b"1234"))
        for number in range(2):
            wire.commit("lab/run", small_file(f"{number}.json", b"{}"), token=STRANGER_TOKEN, query="?create_pr=1")
        said = "**Registered** as expert-0 in [`abc`](/lab/run/commit/abc).\n\nCredit: 1.\n\nparis-verdict: {}"
        closing = {"status": "closed", "comment": said}
        for number, token in ((1, OWNER_TOKEN), (2, STRANGER_TOKEN)):
            wire.ask("POST", f"/api/models/lab/run/discussions/{number}/status", closing, token=token)
        yield hub


@pytest.fixture(scope="module")
def reader(hub):
    return HubReader(hub.url)


def test_repositories_are_those_that_the_token_may_see(hub, reader):
    assert {row["repo"] for row in reader.repos()} == {"lab/run", "datasets/lab/data"}
    owned = {row["repo"]: row["private"] for row in HubReader(hub.url, OWNER_TOKEN).repos()}
    assert owned == {"lab/run": False, "datasets/lab/data": False, "lab/hidden": True}


def test_a_repository_has_its_card_files_refs_and_what_became_of_its_pull_requests(reader, capsys):
    repo = reader.repo("lab/run", None)
    assert repo["card"] == CARD
    assert {file["path"]: file["bytes"] for file in repo["files"]}["w.safetensors"] == len(safetensors())
    assert [(ref["kind"], ref["name"]) for ref in repo["refs"]] == [("branch", "main")]
    outcomes = {pull["number"]: (pull["status"], pull["outcome"]) for pull in repo["pull_requests"]}
    assert outcomes == {1: ("closed", "Registered as expert-0 in abc."), 2: ("closed", "")}
    tables.print_repo(repo)
    shown = capsys.readouterr().out
    assert "Registered as expert-0" in shown
    assert "https://example.org/x" in shown
    assert "tags: [paris]" not in shown
    assert "\x1b" not in shown


def test_paths_are_a_folder_a_header_or_a_text(reader, capsys):
    assert [file["path"] for file in reader.path("lab/run", "docs", None)["files"]] == ["docs/a.txt"]
    header = reader.path("lab/run", "w.safetensors", None)
    assert header["tensors"] == [{"name": "w", "dtype": "F32", "shape": [2, 3], "bytes": 24}]
    assert header["metadata"] == {"format": "pt"}
    text = reader.path("lab/run", "docs/a.txt", None)
    assert text["text"] == f"{RED}text"
    for found in (header, text, reader.path("lab/run", "docs", None)):
        tables.print_path(found)
    shown = capsys.readouterr().out
    assert "2 x 3" in shown
    assert "\x1b" not in shown


def test_a_pull_request_is_shown_with_its_comments_and_without_the_signed_verdict(reader, capsys):
    pull = reader.pull_request("lab/run", 1)
    assert [comment["author"] for comment in pull["comments"]] == ["lab"]
    assert "paris-verdict" not in pull["comments"][0]["text"]
    tables.print_pull_request(pull)
    assert "Credit: 1." in capsys.readouterr().out


def test_what_is_not_there_is_an_error_that_says_so(reader):
    for path, revision, error in (
        ("none", None, "has no none"),
        ("docs/a.txt", "v9", "v9"),
        ("odd.safetensors", None, "readable"),
    ):
        with pytest.raises(NotOnHubError, match=error):
            reader.path("lab/run", path, revision)
    for repo in ("lab/hidden", "lab/none"):
        with pytest.raises(HubError, match="404"):
            reader.repo(repo, None)


def test_the_command_prints_json(hub):
    command = [sys.executable, "-m", "paris.coordinator.cli.app", "browse", hub.url, "lab/run", "docs", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert json.loads(answer.stdout) == {"path": "docs", "files": [{"path": "docs/a.txt", "bytes": 9, "sha256": None}]}


def test_a_revision_of_no_repository_is_refused(hub):
    with pytest.raises(ConfigError, match="Of which repository"):
        browse(hub.url, revision="main")


def test_markdown_becomes_plain():
    assert plain_text("**Rejected**: a \\| `b` of [c](/d)") == "Rejected: a | b of c"
