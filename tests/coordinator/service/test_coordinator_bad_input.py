"""`paris-coord` by its commands: what cannot work ends in one clear line and a code of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from deadlines import DEADLINE_S
from hub_gate import wait_until

from paris.coordinator.console import fail_clearly
from paris.coordinator.run.directory import RunDir

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"
COORD = (sys.executable, "-m", "paris.coordinator.cli.app")


def coord(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PARIS_HUB_TOKEN", "PARIS_DEBUG")}
    return subprocess.run(
        [*COORD, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, env={**kept, **env}, check=False
    )


def failed(ran: subprocess.CompletedProcess[str], code: int, pattern: str) -> bool:
    """One line with what is wrong, at most one more with what to do, and the code."""
    lines = ran.stderr.strip().splitlines()
    assert ran.returncode == code, ran.stderr
    assert len(lines) <= 2, ran.stderr
    assert re.match(rf"Error \[[a-z-]+\]: .*{pattern}", " ".join(lines)), ran.stderr
    return True


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    run = tmp_path_factory.mktemp("prepared") / "run"
    for arguments in (("init", str(run), "--recipe", str(TINY)), ("prepare", str(run))):
        ran = coord(*arguments)
        assert ran.returncode == 0, ran.stderr
    return run


@pytest.fixture
def run(prepared, tmp_path):
    """A run of its own for each test, whose settings it may change."""
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def edit_config(run: Path, old: str, new: str) -> None:
    text = (run / "run.toml").read_text()
    assert old in text
    (run / "run.toml").write_text(text.replace(old, new))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error", "/x"), RuntimeError("odd"), OSError()])
def test_an_error_without_a_code_of_its_own_ends_with_1(error, capsys):
    def app(_arguments: list[str]) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        fail_clearly(app, [])
    assert ended.value.code == 1
    assert re.match(r"Error \[(system|unexpected)\]: \w", capsys.readouterr().err)


def test_a_wait_that_was_too_long_has_words(capsys):
    def app(_arguments: list[str]) -> None:
        raise TimeoutError

    with pytest.raises(SystemExit):
        fail_clearly(app, [])
    assert capsys.readouterr().err.startswith("Error [no-answer]: There was no answer in time.\n  ")


def test_an_interruption_ends_with_130():
    def app(_arguments: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        fail_clearly(app, [])
    assert ended.value.code == 130


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_init_takes_no_port_that_is_none(tmp_path, port):
    ran = coord("init", str(tmp_path / "run"), "--hub-port", port)
    assert ran.returncode == 2
    assert "--hub-port" in ran.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_serve_with_its_hubs_port_taken_says_so(run, answers):
    """Also where the other one answers: it is not taken for ours."""
    port = int(RunDir.open(run).config.hub.endpoint.rsplit(":", 1)[1])
    with ThreadingHTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler) as other:
        if answers:
            threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
        assert failed(coord("serve", str(run)), 9, f"port {port} of 127.0.0.1 is in use.*run.toml")
        if answers:
            other.shutdown()


@pytest.mark.slow
def test_serve_with_its_dht_port_taken_says_so_and_leaves_no_hub_behind(run):
    config = RunDir.open(run).config
    with socket.create_server(("127.0.0.1", int(config.dht.listen[0].rsplit("/", 1)[1]))):
        ran = coord("serve", str(run))
    assert failed(ran, 9, f"{config.dht.listen[0].rsplit('/', 1)[1]}")
    wait_until(lambda: can_bind(int(config.hub.endpoint.rsplit(":", 1)[1])), DEADLINE_S, "the Hub is gone")


@pytest.mark.slow
def test_serve_with_a_hub_elsewhere_that_is_down_or_without_a_token(run):
    edit_config(run, "embedded = true", "embedded = false")
    endpoint = RunDir.open(run).config.hub.endpoint
    assert failed(coord("serve", str(run)), 62, "No token for the Hub.*PARIS_HUB_TOKEN")
    assert failed(coord("serve", str(run), PARIS_HUB_TOKEN="x"), 62, f"Hub at {endpoint} does not answer")


@pytest.mark.slow
def test_serve_with_an_embedded_hub_of_no_port_names_the_setting(run):
    endpoint = RunDir.open(run).config.hub.endpoint
    edit_config(run, endpoint, "http://127.0.0.1")
    assert failed(coord("serve", str(run)), 60, "where the embedded Hub listens")


@pytest.mark.slow
def test_an_embedded_hub_that_dies_is_started_anew(run):
    endpoint, out = RunDir.open(run).config.hub.endpoint, run / "events.jsonl"
    with out.open("wb") as stdout:
        serve = subprocess.Popen([*COORD, "serve", str(run), "--json"], stdout=stdout, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "serving" in events(out), DEADLINE_S, "serve is up")
        hub = hub_of(serve.pid)
        hub.kill()
        wait_until(
            lambda: "The embedded Hub had ended; it was restarted." in out.read_text(), DEADLINE_S, "serve says so"
        )
        assert hub_of(serve.pid).pid != hub.pid
        with urlopen(f"{endpoint}/api/models/paris/tiny", timeout=5) as answer:
            assert json.load(answer)["id"] == "paris/tiny"
        with urlopen(f"{endpoint}/run", timeout=DEADLINE_S) as answer:
            board = answer.read().decode()
        assert 'data-state="up"' in board, "the page is on the same port, and the service has left its health"
        assert (run / "keys" / "page.token").is_file()
    finally:
        serve.terminate()
        assert serve.wait(DEADLINE_S) == 0
    assert can_bind(int(endpoint.rsplit(":", 1)[1]))


def hub_of(pid: int) -> psutil.Process:
    children = [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]
    return next(child for child in children if "paris.coordinator.page" in child.cmdline())


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines() if line.endswith("}")]


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the Hub does: TIME_WAIT takes no port
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
