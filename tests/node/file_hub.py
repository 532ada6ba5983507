"""A small real HTTP server that speaks as much Hub as a download needs, and can misbehave on demand."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deadlines import DEADLINE_S

from paris.node.hub.file import Wanted

REVISION = "1" * 40


class FileHub(ThreadingHTTPServer):
    """Serves files with ranges. `faults[path]`: what goes wrong next, one a request; an Event is waited for,
    a tuple is status and headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = defaultdict(list)
        self.requests: list[tuple[str, str | None]] = []
        self.tokens: list[str | None] = []
        self.redirects: dict[str, str] = {}

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up in the middle is part of the tests."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, path: str, data: bytes) -> Wanted:
        self.files[path] = data
        return Wanted("org/data", REVISION, path, hashlib.sha256(data).hexdigest(), len(data))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileHub

    def do_GET(self) -> None:
        path = re.sub(r"^/(datasets/)?org/[a-z]+/resolve/[^/]+/", "", self.path)
        self.server.requests.append((path, self.headers.get("Range")))
        self.server.tokens.append(self.headers.get("Authorization"))
        if path in self.server.redirects:
            return self._answer(302, b"", {"Location": self.server.redirects[path]})
        fault = self.server.faults[path].pop(0) if self.server.faults[path] else None
        data = self.server.files.get(path)
        if data is None:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if isinstance(fault, threading.Event):
            fault.wait(DEADLINE_S)
        if isinstance(fault, int):
            return self._answer(fault, b"busy", {"Retry-After": "7"} if fault == 429 else {})
        if isinstance(fault, tuple):
            return self._answer(fault[0], b"" if fault[0] == 204 else b"other", fault[1])
        if fault == "wrong":
            data = bytes(len(data))
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        body, status, headers = data[start:], 200, {}
        if str(fault).startswith("no-range"):
            body = data
        elif start:
            status, headers = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        if str(fault).endswith("cut"):
            return self._answer(status, body[: len(body) // 2], headers, length=len(body))
        return self._answer(status, body, headers)

    def _answer(self, status: int, body: bytes, headers: dict, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(1)

    def log_message(self, *args: object) -> None:
        """Quiet."""
