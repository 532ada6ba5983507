"""A real SOCKS5 proxy on loopback (RFC 1928, without authentication), which knows where each host name leads."""

from __future__ import annotations

import select
import socket
import socketserver
import struct
import threading

_CONNECTED, _REFUSED = 0, 5


class SocksServer(socketserver.ThreadingTCPServer):
    """Listens at a free port from the start.

    Args:
        hosts: The address that each host name leads to; other names are refused.
    """

    daemon_threads = True

    def __init__(self, hosts: dict[str, tuple[str, int]]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.hosts = hosts
        self.asked: list[tuple[str, int]] = []
        self.url = f"socks5://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _Connection(socketserver.BaseRequestHandler):
    server: SocksServer

    def handle(self) -> None:
        client: socket.socket = self.request
        _, num_methods = self._read(2)
        self._read(num_methods)
        client.sendall(b"\x05\x00")
        _, _, _, kind = self._read(4)
        assert kind == 3, "the client must leave the look-up of names to the proxy"
        host = self._read(self._read(1)[0]).decode("ascii")
        port = struct.unpack("!H", self._read(2))[0]
        self.server.asked.append((host, port))
        target = self.server.hosts.get(host)
        client.sendall(struct.pack("!BBBB4sH", 5, _CONNECTED if target else _REFUSED, 0, 1, bytes(4), 0))
        if target:
            with socket.create_connection(target) as hub:
                _pass_on(client, hub)

    def _read(self, num_bytes: int) -> bytes:
        data = b""
        while len(data) < num_bytes:
            piece = self.request.recv(num_bytes - len(data))
            if not piece:
                raise ConnectionError("the client hung up")
            data += piece
        return data


def _pass_on(client: socket.socket, hub: socket.socket) -> None:
    """Both directions, until either side ends."""
    other = {client: hub, hub: client}
    while True:
        for side in select.select(list(other), [], [])[0]:
            data = side.recv(65536)
            if not data:
                return
            other[side].sendall(data)
