"""A captive portal or proxy in front of a Hub: `mode` says which requests it answers itself, and how."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from deadlines import DEADLINE_S

PAGE = b"<!DOCTYPE html><html><head><title>Welcome to\n Hotel WiFi</title></head><body>Log in</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Portal(ThreadingHTTPServer):
    """Modes: pass, html, untyped, login, html-files, html-writes, cut-json, other-json, read-only."""

    daemon_threads = True

    def __init__(self, hub: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = urlsplit(hub)
        self.mode = "pass"
        self.answered: list[tuple[str, str]] = []
        """Method and path of what the portal answered itself."""
        self.passed: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Portal:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def own_answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body in place of the Hub's; None: the Hub answers."""
        is_write = method in ("POST", "PUT")
        if path.startswith("/portal") or self.mode == "html" or (self.mode == "html-files" and "/resolve/" in path):
            return 200, HTML, PAGE
        if self.mode == "untyped":
            return 200, {}, PAGE
        if self.mode == "login":
            return 302, {"Location": f"{self.url}/portal?from={path}"}, b""
        if self.mode == "html-writes" and is_write:
            return 200, HTML, PAGE
        if self.mode == "cut-json":
            return 200, {"Content-Type": "application/json"}, b'{"id": "org/mod'
        if self.mode == "other-json":
            return 200, {"Content-Type": "application/json"}, b'{"login": true}'
        if self.mode == "read-only" and is_write:
            return 403, {"X-Error-Message": "The Hub is read-only for maintenance"}, b"{}"
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Portal

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        own = self.server.own_answer(self.command, self.path)
        (self.server.passed if own is None else self.server.answered).append((self.command, self.path))
        if own is not None:
            return self._answer(*own)
        onward = http.client.HTTPConnection(self.server.hub.hostname, self.server.hub.port, timeout=DEADLINE_S)
        try:
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS}
            return self._answer(answer.status, kept, answer.read())
        finally:
            onward.close()

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _handle

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


_HOP_HEADERS = ("transfer-encoding", "content-length", "connection")
