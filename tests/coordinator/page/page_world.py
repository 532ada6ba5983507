"""A run directory as a service left it, its page on a port of its own, and a bare HTTP client."""

from __future__ import annotations

import http.client
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deadlines import DEADLINE_S

from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import bind, make_server
from paris.coordinator.page.app import make_app
from paris.coordinator.page.folder import RunFolder
from paris.coordinator.page.reading import RunReader
from paris.coordinator.page.views import Site
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store

FIXTURE = Path(__file__).parents[2] / "fixtures" / "run-2026-11.tar.xz"
RUN_ID = "tiny-325d5f7a1e3850d9"
ADAS_LEASE = "bd35352616808fbfb4b5e8863300603d"


def unpacked(folder: Path) -> Path:
    """A run of two experts: ada's is registered, ben's is in training."""
    with tarfile.open(FIXTURE) as archive:
        wanted = [member for member in archive if "/run" in member.name and "/shards" not in member.name]
        archive.extractall(folder, members=wanted, filter="data")
    run = folder / "run-2026-11" / "run"
    Store(run / "state.sqlite").close()
    return run


def add_line(run: Path, text: str) -> None:
    (run / "run.toml").write_text((run / "run.toml").read_text("utf-8") + f"\n{text}\n", "utf-8")


def change(run: Path, make) -> State:
    """Save what a function makes of the state, as a service would."""
    store = Store(run / "state.sqlite")
    try:
        before = store.load()
        after, events = make(before)
        store.save(before, after, events, time.time())
        return after
    finally:
        store.close()


@contextmanager
def served(run: Path) -> Iterator[Client]:
    """The page's application, served from a thread."""
    reader = RunReader(run / "state.sqlite")
    app = make_app(Site(RunFolder.open(run, RUN_ID), reader, time.time))
    with bind("127.0.0.1", 0) as listening:
        server = make_server(app, HubLimits())
        ready = threading.Event()
        server.on_ready = ready.set
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        assert ready.wait(DEADLINE_S)
        try:
            yield Client(listening.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            reader.close()


class Client:
    def __init__(self, port: int, server=None) -> None:
        self.port, self.server = port, server
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    @contextmanager
    def stream(self, query: str) -> Iterator[Iterator[dict[str, str]]]:
        """The fragments that a live page receives, as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", f"/run/stream?{query}")
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield (json.loads(line[6:]) for line in iter(response.readline, b"") if line.startswith(b"data: "))
        finally:
            connection.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()
