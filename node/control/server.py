"""Answers the control socket in the running node. Only the home's owner can open it: mode 0600."""

from __future__ import annotations

import contextlib
import logging
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from paris.node.control.address import SOCKET_NAME, socket_address
from paris.node.control.messages import MAX_LINE_BYTES, VERSION, Reply, Request
from paris.node.errors import SettingsError

_logger = logging.getLogger(__name__)
_PATIENCE_S = 10.0
_MODE = 0o600
Answer = Callable[[Request], Reply]


class _Server(socketserver.ThreadingUnixStreamServer):
    """A thread for each connection."""

    daemon_threads = True
    answer: Answer

    def server_bind(self) -> None:
        # Linux takes the mode of the new file from the socket: nobody else can connect between bind and chmod.
        os.fchmod(self.socket.fileno(), _MODE)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        _logger.debug("A control connection broke", exc_info=True)


class _Connection(socketserver.StreamRequestHandler):
    """One request, one reply."""

    timeout = _PATIENCE_S
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline(MAX_LINE_BYTES)
        self.wfile.write(_reply(line, self.server.answer).model_dump_json().encode() + b"\n")


@contextlib.contextmanager
def control_socket(home: Path, answer: Answer) -> Iterator[None]:
    """Answer requests during the block. Without a socket the node works all the same: the reason is logged.

    Args:
        home: The node's folder, whose lock this process holds: a socket that is there is a dead node's.
        answer: Called in a thread for each request.
    """
    with contextlib.ExitStack() as stack:
        try:
            server = _listening(home)
        except (OSError, SettingsError) as error:
            _logger.warning("The node cannot be controlled from another shell: %s", error)
        else:
            server.answer = answer
            stack.callback((home / SOCKET_NAME).unlink, missing_ok=True)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="control", daemon=True
            ).start()
        yield


def _listening(home: Path) -> _Server:
    (home / SOCKET_NAME).unlink(missing_ok=True)
    with socket_address(home) as address:
        server = _Server(address, _Connection)
    try:
        (home / SOCKET_NAME).chmod(_MODE)  # for systems that ignore the socket's own mode
    except OSError:
        server.server_close()
        raise
    return server


def _reply(line: bytes, answer: Answer) -> Reply:
    try:
        request = Request.model_validate_json(line)
    except ValidationError:
        return Reply(
            is_ok=False,
            text=f"The running node does not understand this request; it speaks version {VERSION}.",
            next_step="Use the version of paris-node that runs in this home.",
        )
    return answer(request)
