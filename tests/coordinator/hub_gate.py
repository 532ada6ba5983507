"""A Hub in this process, and a gate in front of it that answers in its place when told to."""

from __future__ import annotations

import http.client
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deadlines import DEADLINE_S

from paris.coordinator.hub import HubServer, add_user
from paris.coordinator.run_hub.client import RunHub

OWNER_TOKEN = "owner_token_owner_token"
STRANGER_TOKEN = "stranger_token_stranger_token"
MODELS, DATA = "lab/run", "lab/run-data"
WEIGHTS = struct.pack("<Q", 62) + b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   ' + bytes(8)


@contextmanager
def running_hub(folder: Path) -> Iterator[HubServer]:
    """A Hub where the owner and one stranger have accounts, and nobody else gets one."""
    with HubServer(folder) as server:
        add_user(folder, "lab", OWNER_TOKEN, [])
        add_user(folder, "stranger", STRANGER_TOKEN, [])
        yield server


def run_hub(endpoint: str, token: str = OWNER_TOKEN, model_repo: str = MODELS) -> RunHub:
    return RunHub(endpoint, token, model_repo, DATA)


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Look again and again until something is true; fail with `what` at the deadline."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


class Gate(ThreadingHTTPServer):
    """Forwards every request to a port; what `instead` returns for (method, path) is answered instead: a status."""

    daemon_threads = True

    def __init__(self, port: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target_port = port
        self.instead: Callable[[str, str], int | None] = lambda method, path: None
        self.body = b"not now"
        self.seen: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path))
        status = self.server.instead(self.command, self.path)
        if status is not None:
            self._answer(status, [], self.server.body)
            return
        onward = http.client.HTTPConnection("127.0.0.1", self.server.target_port, timeout=DEADLINE_S)
        try:
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            skipped = ("transfer-encoding", "content-length", "connection")
            headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in skipped]
            self._answer(answer.status, headers, answer.read(), answer.getheader("Content-Length"))
        finally:
            onward.close()

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _handle

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""
