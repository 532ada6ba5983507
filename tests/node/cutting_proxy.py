"""A TCP proxy in front of a Hub: it cuts the first PUT in the middle, and says 521 while the Hub is down."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

_DOWN = b"HTTP/1.1 521 Web Server Is Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PIECE = 65536


class CuttingProxy:
    """Listens on a free port.

    Args:
        target_port: The Hub's port on this machine.
        cut_after: Bytes of the first PUT that reach the Hub.
        on_cut: Called in the middle of that PUT, before its connection is closed.
    """

    def __init__(self, target_port: int, cut_after: int, on_cut: Callable[[], None]) -> None:
        self._target_port, self._cut_after, self._on_cut = target_port, cut_after, on_cut
        self.is_down = False
        self.num_cuts = 0
        self.puts: list[int] = []
        """Bytes of each PUT that were passed on, head and body."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Either side may hang up at any time: that is what is tested.
        with client, contextlib.suppress(OSError):
            if self.is_down:
                client.recv(_PIECE)
                client.sendall(_DOWN)
                return
            with socket.create_connection(("127.0.0.1", self._target_port)) as hub:
                threading.Thread(target=self._answers, args=(hub, client), daemon=True).start()
                self._requests(client, hub)

    def _requests(self, client: socket.socket, hub: socket.socket) -> None:
        is_put = False
        while piece := client.recv(_PIECE):
            if piece.startswith((b"GET ", b"POST ", b"PUT ")):
                is_put = piece.startswith(b"PUT ")
                self.puts += [0] if is_put else []
            hub.sendall(piece)
            if not is_put:
                continue
            self.puts[-1] += len(piece)
            if self.num_cuts == 0 and self.puts[-1] >= self._cut_after:
                self.num_cuts += 1
                self._on_cut()
                return

    def _answers(self, hub: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := hub.recv(_PIECE):
                client.sendall(piece)
            client.shutdown(socket.SHUT_RDWR)
