"""Answers at a Unix socket, which the owner of the key and the group of the folder can open."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import socketserver
import threading
from pathlib import Path

from pydantic import ValidationError

from paris.coordinator.errors import SignerError
from paris.coordinator.signer.key import RunKey
from paris.coordinator.signer.messages import MAX_LINE_BYTES, Answered, Ask
from paris.protocol.locks import try_lock

logger = logging.getLogger(__name__)
_MODE, _LOCK_MODE = 0o660, 0o600
_LOOK_EVERY_S = 0.1
_PATIENCE_S = 10.0


class _Server(socketserver.ThreadingUnixStreamServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128
    """Clients with a timeout are refused where more wait, not made to wait."""
    key: RunKey

    def server_bind(self) -> None:
        # Linux takes the mode of the new file from the socket: nobody else can connect between bind and chmod.
        os.fchmod(self.socket.fileno(), _MODE)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("A connection broke.", exc_info=True)


class _Connection(socketserver.StreamRequestHandler):
    """One question, one answer."""

    timeout = _PATIENCE_S
    server: _Server

    def handle(self) -> None:
        try:
            answer = self.server.key.answer(Ask.model_validate_json(self.rfile.readline(MAX_LINE_BYTES)))
        except ValidationError:
            answer = Answered(refused="That is no question.")
        self.wfile.write(answer.model_dump_json().encode() + b"\n")


def serve_key(key: RunKey, path: Path, stop: threading.Event) -> None:
    """Answer until `stop` is set; the socket is removed at the end.

    Args:
        key: Answers.
        path: The socket. One that is left of a signer that was killed is replaced. A lock file beside it, which stays,
            keeps two signers apart that start at once.
        stop: Set by a signal handler.

    Raises:
        SignerError: Another signer answers there, another file is there, or the socket cannot be made; what
            is there is unchanged.
        NoLocksError: The file system has no locks.
    """
    if os.path.lexists(path) and not path.is_socket():
        raise SignerError(f"{path} is there already, and is no socket.", "Choose another --socket.")
    other = SignerError(f"Another signer answers at {path}.", "Stop it first, or choose another --socket.")
    try:
        lock = try_lock(path.with_name(f"{path.name}.lock"), _LOCK_MODE)
    except OSError as error:
        raise _unmade(path, error) from error
    if lock is None:
        raise other
    with lock:
        if _answers(path):  # one that has no lock, on a file system without locks
            raise other
        _serve(key, path, stop)


def _serve(key: RunKey, path: Path, stop: threading.Event) -> None:
    try:
        path.unlink(missing_ok=True)
        server = _Server(str(path), _Connection)
        path.chmod(_MODE)  # for systems that ignore the socket's own mode
    except OSError as error:
        raise _unmade(path, error) from error
    server.key = key
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _LOOK_EVERY_S}, daemon=True)
    thread.start()
    try:
        stop.wait()
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)


def _unmade(path: Path, error: OSError) -> SignerError:
    return SignerError(f"{path} cannot be made: {error}.", "Choose another --socket, of 100 bytes at most.")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False
