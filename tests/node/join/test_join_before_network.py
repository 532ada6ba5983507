"""A node that starts before its network waits, says why in one line, and goes on; a wrong address ends it at once."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest
from deadlines import DEADLINE_S
from file_hub import FileHub

from paris.node.errors import ResolveError, RunUnansweredError, StoppedError
from paris.node.join.resolve import open_run, resolve
from paris.node.join.search import wait_for_answer
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.protocol.errors import ClockError, NoPeersError


class LateHub(FileHub):
    """Its port is taken from the start; connections are refused until `begin`."""

    def server_activate(self) -> None:
        """Not yet."""

    has_begun = False

    def begin(self) -> None:
        self.has_begun = True
        self.socket.listen(16)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end(self) -> None:
        if self.has_begun:
            self.shutdown()
        self.server_close()


class Lines:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def event(self, kind, /, **fields) -> None:
        self.texts.append(fields["text"])

    def close(self) -> None: ...


@pytest.fixture
def late_hub():
    hub = LateHub()
    yield hub
    hub.end()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.mark.slow
def test_a_node_waits_for_the_address_and_then_for_the_peers_and_can_be_stopped(late_hub, start, make_spec, tmp_path):
    late_hub.files["run.json"] = make_spec().data
    node = start("--hub-endpoint", late_hub.endpoint, run="org/model")
    told = node.wait_for("retrying")
    assert told["text"].startswith(
        f"The Hub at {late_hub.endpoint} gives no run.json of org/model: GET {late_hub.endpoint}"
    )
    assert "refused" in told["text"]
    late_hub.begin()
    assert "None of the 1 initial peers answers" in node.wait_for("retrying")["text"]
    assert Home(tmp_path / "home").run_ids() == [make_spec().run_id]
    node.process.send_signal(signal.SIGTERM)
    assert node.wait_end() == 0
    assert len(node.of("retrying")) == 2, "one line for each reason"
    assert node.of("error") == []


@pytest.mark.parametrize("run", ["org/model", "URL"])
def test_each_reason_is_one_line_and_the_address_is_asked_until_it_answers(late_hub, lines, make_spec, tmp_path, run):
    late_hub.files["run.json"] = make_spec().data
    run = run.replace("URL", f"{late_hub.endpoint}/org/model/resolve/main/run.json")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            late_hub.faults["run.json"] = [503]
            late_hub.begin()

    def connect():
        config = NodeConfig(hub_endpoint=late_hub.endpoint)
        return resolve(run, home=Home(tmp_path), config=config, run_id=None, token=None)

    address = wait_for_answer(connect, view=lines, pause=pause, max_tries=None)
    assert address.spec == open_run(late_hub.files["run.json"], None)
    assert len(waits) == 6
    assert waits[0] < waits[2] < waits[4]
    assert len(lines.texts) == 2, lines.texts
    assert "503" in lines.texts[1]


@pytest.mark.parametrize("run", ["org/none", "URL/none.json", "ftp://hub.example/run.json"])
def test_a_wrong_address_ends_the_node_at_once(file_hub, lines, tmp_path, run):
    run, config = run.replace("URL", file_hub.endpoint), NodeConfig(hub_endpoint=file_hub.endpoint)
    with pytest.raises(ResolveError) as caught:
        wait_for_answer(
            lambda: resolve(run, home=Home(tmp_path), config=config, run_id=None, token=None),
            view=lines,
            pause=lambda seconds: pytest.fail("it waited"),
            max_tries=None,
        )
    assert not isinstance(caught.value, RunUnansweredError)
    assert lines.texts == []


def test_a_first_join_at_a_terminal_ends_at_once(late_hub, tmp_path):
    command = [sys.executable, "-m", "paris.node.cli", "join", "org/model", "--home", str(tmp_path / "home")]
    parent, child = pty.openpty()
    done = subprocess.Popen([*command, "--hub-endpoint", late_hub.endpoint], stdin=subprocess.DEVNULL, stderr=child)
    os.close(child)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the other side has ended
        while piece := os.read(parent, 4096):
            shown += piece
    os.close(parent)
    assert done.wait(DEADLINE_S) == RunUnansweredError.exit_code
    assert b"gives no run.json of org/model" in b" ".join(shown.split())


@pytest.mark.parametrize("error", [NoPeersError("No peer."), ClockError("The clocks differ.", "Set it.")])
def test_peers_and_a_wrong_clock_are_waited_for_up_to_the_tries_allowed(lines, error):
    def connect():
        raise error

    waits: list[float] = []
    with pytest.raises(type(error)):
        wait_for_answer(connect, view=lines, pause=waits.append, max_tries=3)
    assert (len(waits), lines.texts) == (2, [error.what])


def test_the_volunteer_can_stop_a_node_that_waits(lines):
    def connect():
        raise NoPeersError("No peer.")

    def pause(seconds: float) -> None:
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        wait_for_answer(connect, view=lines, pause=pause, max_tries=None)


def test_an_address_that_led_to_a_run_before_does_so_while_it_does_not_answer(late_hub, lines, make_spec, tmp_path):
    from paris.node.join.search import Search

    home, token_url = Home(tmp_path / "home"), f"{late_hub.endpoint}/run.json?token=hf_secret"
    late_hub.begin()
    late_hub.files["/run.json?token=hf_secret"] = make_spec().data

    def search(run_id: str | None = None) -> Search:
        return Search(token_url, run_id, None, home, NodeConfig(), lines)

    with pytest.raises(NoPeersError):
        search().connect()
    assert "secret" not in (home.path / "addresses.json").read_text()
    late_hub.faults["/run.json?token=hf_secret"] = [503, 503]
    with pytest.raises(NoPeersError):
        search().connect()
    with pytest.raises(RunUnansweredError):
        search("other-0123456789abcdef").connect()
    (home.path / "addresses.json").write_text("[[")
    late_hub.faults["/run.json?token=hf_secret"] = [503]
    with pytest.raises(RunUnansweredError):
        search().connect()
