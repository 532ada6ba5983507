"""`paris-coord try` as a real process: its form works without a script, for this machine and its own page alone."""

from __future__ import annotations

import base64
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

import psutil
import pytest
from deadlines import DEADLINE_S
from PIL import Image
from tiny_release import SIZE, write_tiny_release

from paris.coordinator.children import Children
from paris.coordinator.errors import WorkerError
from paris.coordinator.trying.messages import Source
from paris.coordinator.trying.process import ModelProcess

COMMAND = (sys.executable, "-m", "paris.coordinator.cli.app", "try")


class Page:
    def __init__(self, model) -> None:
        words = [*COMMAND, str(model), "--port", "0", "--device", "cpu"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        assert line.startswith("try ready at http://127.0.0.1:"), line
        self.port = urlsplit(line.split()[-1]).port

    def ask(self, method="GET", path="/try", body=None, **headers):
        """Status, headers and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def post(self, **fields):
        return self.ask("POST", "/try", urlencode(fields))

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    page = Page(write_tiny_release(tmp_path_factory.mktemp("page")))
    yield page
    page.stop()


def test_the_form_is_sent_and_answered_without_a_script(page):
    status, headers, form = page.ask()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert '<form method="post" action="/try#result">' in form
    status, _, answer = page.post(prompt="red <b>heart</b>", seed=3, steps=4, routing="full")
    assert status == 200
    picture, *stages = re.findall(r'src="data:image/png;base64,([^"]+)"', answer)
    assert (picture, len(stages)) == (stages[-1], 4)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (SIZE, SIZE)
    assert "&lt;b&gt;heart" in answer
    assert "<b>" not in answer
    assert answer.count('<th scope="row">') == 4
    assert "not in the vocabulary and left out" in answer


def test_what_is_wrong_is_said_in_the_form_that_was_sent(page):
    status, _, answer = page.post(prompt="red", seed=-1)
    assert status == 400
    assert 'role="alert">Seed: give a whole number' in answer
    assert 'value="red"' in answer
    assert page.ask("POST", "/try", "prompt=" + "a" * 20_000)[0] == 413


def test_other_names_other_pages_and_proxies_are_refused(page):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"X-Forwarded-For": "192.0.2.1"}):
        for method, body in (("GET", None), ("POST", "prompt=red")):
            assert page.ask(method, "/try", body, **headers)[0] == 403
    own = f"http://127.0.0.1:{page.port}"
    assert page.ask("POST", "/try", "prompt=red&steps=1", Origin=own)[0] == 200


def test_assets_are_there_and_nothing_else(page):
    assert page.ask(path="/try/assets/try.css")[1]["Content-Type"].startswith("text/css")
    assert page.ask(path="/try/assets/try.js")[0] == 200
    for path in ("/try/assets/..%2Fapp.py", "/try/assets/%2e%2e", "/try/other", "/run"):
        assert page.ask(path=path)[0] == 404
    assert page.ask(path="/")[1]["Location"] == "/try"


@pytest.mark.long
def test_a_model_s_process_that_dies_is_started_again(page):
    (child,) = psutil.Process(page.process.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:  # the page reaps it when it next needs it
        assert time.monotonic() < deadline
        pause.wait(0.05)
    assert page.post(prompt="red")[0] == 200


@pytest.mark.long
def test_the_page_s_files_are_written_by_one_command_and_nothing_is_replaced(tmp_path):
    model, lines = write_tiny_release(tmp_path), tmp_path / "prompts.txt"
    lines.write_text("heart\n\nred heart\n")
    words = [*COMMAND, str(model), "red", "--prompts", str(lines), "--export", str(tmp_path / "out"), "--device", "cpu"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "traces").iterdir()) == ["1.json", "2.json", "3.json"]
    again = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert again.returncode == 61
    assert "not empty" in again.stderr


@pytest.mark.long
def test_a_model_that_is_missing_is_named(tmp_path):
    children = Children(tmp_path)
    with pytest.raises(WorkerError, match=r"There is no folder \./nowhere"):
        ModelProcess(children, Source(model="./nowhere")).start()
    children.stop()
