"""The stock client and the `hf` command against a Hub in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from hub_process import OWNER_TOKEN, SMALL_PARTS, HubProcess, client_environment

SCRIPT = Path(__file__).with_name("stock_client.py")
CHAPTERS = [
    "accounts_and_repos",
    "uploads_and_downloads",
    "commits_and_revisions",
    "pull_requests",
    "drafts_and_merges",
    "finding_models",
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = HubProcess(tmp_path_factory.mktemp("hub"), limits=SMALL_PARTS)
    yield hub
    assert hub.stop() == 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_stock_client_does_what_anybody_does_with_a_hub(hub, tmp_path, chapter):
    command = [sys.executable, str(SCRIPT), chapter]
    ran = subprocess.run(
        command, env=client_environment(hub.url, tmp_path), capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["done", chapter]


@pytest.fixture
def hf(hub, tmp_path):
    environment = {**client_environment(hub.url, tmp_path / "home"), "HF_TOKEN": OWNER_TOKEN}

    def run(*arguments):
        command = [str(Path(sys.executable).with_name("hf")), *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_hf_command_uploads_finds_and_downloads(hf, tmp_path):
    assert "lab" in hf("auth", "whoami")
    hf("repos", "create", "lab/by-command")
    card = tmp_path / "README.md"
    card.write_text("---\ntags: [by-command]\n---\nhello\n")
    hf("upload", "lab/by-command", str(card), "README.md", "--commit-message", "by command")
    assert hf("models", "ls", "--filter", "by-command", "--author", "lab", "--quiet").split() == ["lab/by-command"]
    hf("download", "lab/by-command", "--local-dir", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "README.md").read_text() == card.read_text()


def test_hf_command_opens_and_closes_a_pull_request(hf, tmp_path):
    hf("repos", "create", "lab/by-request")
    note = tmp_path / "note.txt"
    note.write_text("a line\n")
    hf("upload", "lab/by-request", str(note), "note.txt", "--create-pr", "--commit-message", "please take this")
    assert "please take this" in hf("discussions", "list", "lab/by-request")
    assert "+a line" in hf("discussions", "diff", "lab/by-request", "1")
    hf("discussions", "close", "lab/by-request", "1", "--yes")
    assert "closed" in hf("discussions", "info", "lab/by-request", "1")
