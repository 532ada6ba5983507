"""The page as a process: in front of the embedded Hub on one port, and alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from deadlines import DEADLINE_S
from page_world import RUN_ID, Client

from paris.coordinator.children import Children
from paris.coordinator.page.app import make_app
from paris.coordinator.page.folder import RunFolder
from paris.coordinator.page.front import is_of_page
from paris.coordinator.page.reading import RunReader
from paris.coordinator.page.views import Site
from paris.coordinator.run.config import ConfigError, load_recipe, validated
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.page import PageServer
from paris.protocol.errors import PortTakenError
from paris.protocol.lifeline import child_environment


def test_one_port_has_the_page_and_the_hub(kept_run):
    command = [sys.executable, "-m", "paris.coordinator.page", "--run", str(kept_run), "--run-id", RUN_ID]
    command += ["--data", str(kept_run / "hub"), "--open-registration"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment()
    ) as process:
        try:
            line = process.stdout.readline().decode()
            assert line.startswith("hub ready at http://127.0.0.1:"), process.stderr.read()
            client = Client(int(line.rpartition(":")[2]))
            assert json.loads(client.ask("/api/models").body)[0]["id"] == "paris/tiny"
            assert "Repositories" in client.ask("/").text
            assert "1 of 2 experts registered" in client.ask("/run").text
            assert client.ask("/run/emoji").status == 404
            assert "x-error-message" in client.ask("/run/emoji/resolve/main/x").headers, "the Hub answered"
        finally:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0


def test_every_address_of_the_page_is_before_the_hubs_repos(kept_run):
    reader = RunReader(kept_run / "state.sqlite")
    app = make_app(Site(RunFolder.open(kept_run, RUN_ID), reader, time.time))
    reader.close()
    assert [route.path for route in app.routes if not is_of_page(route.path)] == []
    assert [path for path in ("/", "/runs", "/paris/run", "/run/emoji/tree") if is_of_page(path)] == []


def test_a_page_of_its_own_starts_says_where_and_comes_back(kept_run, tmp_path):
    now = [0.0]
    children = Children(tmp_path / "logs")
    page = PageServer(listening(kept_run, "127.0.0.1:0"), children, lambda: now[0])
    try:
        url = page.start()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/run", url)
        port = int(url.split(":")[2].partition("/")[0])
        assert Client(port).ask("/run").status == 200
        with pytest.raises(PortTakenError):
            PageServer(listening(kept_run, f"127.0.0.1:{port}"), children).start()
        assert not page.restart_if_dead()
        page._child._process.kill()
        page._child._process.wait()
        assert not page.restart_if_dead(), "not at once"
        now[0] = 100.0
        assert page.restart_if_dead()
    finally:
        children.stop()


def listening(path, listen: str) -> RunDir:
    run = RunDir.open(path)
    table = run.config.page.model_copy(update={"listen": listen})
    return RunDir(run.path, run.config.model_copy(update={"page": table}), run.identity)


def test_an_address_that_others_reach_is_for_the_public_page_alone():
    recipe = load_recipe("emoji-quick").model_dump(mode="json", exclude_none=True)
    for listen in ("127.0.0.1:8001", "[::1]:8001", "localhost:8001"):
        assert validated({**recipe, "page": {"listen": listen}}, "x").page.listen == listen
    with pytest.raises(ConfigError, match=r"page\.listen is '0\.0\.0\.0:8001', which other machines may reach"):
        validated({**recipe, "page": {"listen": "0.0.0.0:8001"}}, "x")
    assert validated({**recipe, "page": {"listen": "0.0.0.0:8001", "public_page": True}}, "x").page.public_page
    with pytest.raises(ConfigError, match=r"page\.listen"):
        validated({**recipe, "page": {"listen": "8001"}}, "x")
