"""The Hub as a server: bind the port, lock the data folder, serve, stop cleanly."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from paris.coordinator.hub.app import HubApp, create_app
from paris.coordinator.hub.connections import BoundedServer, Connection
from paris.coordinator.hub.errors import HubStartError
from paris.coordinator.hub.limits import HubLimits
from paris.protocol.errors import NoLocksError, PortTakenError
from paris.protocol.locks import try_lock
from paris.protocol.signals import stop_signals

_log = logging.getLogger(__name__)
_GRACE_S = 3
_BACKLOG = 256


class HubServer:
    """One Hub on one port. Binds at once; `run` serves in this thread, `start` in a background thread.

    Args:
        data_dir: Data folder; only one server at a time may use it.
        host: Address to listen at.
        port: Port, 0 for any free one.
        open_registration: Whether an unknown token registers a volunteer.
        limits: Bounds on requests and storage.
        front: Makes of the Hub's application one that answers some paths itself.

    Raises:
        PortTakenError: The port is in use.
        HubStartError: Another server uses the data folder, or the host is invalid.
    """

    def __init__(
        self,
        data_dir: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        open_registration: bool = False,
        limits: HubLimits | None = None,
        front: Callable[[HubApp], ASGIApp] | None = None,
    ) -> None:
        limits = limits or HubLimits()
        self._data_dir = data_dir
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(bind(host, port))
            undo.enter_context(_only_server_of(data_dir))
            self.app: HubApp = create_app(data_dir, open_registration=open_registration, limits=limits)
            undo.callback(self.app.close)
            self._closing = undo.pop_all()
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        self._server = make_server(self.app if front is None else front(self.app), limits)
        self._thread: threading.Thread | None = None

    def run(self, on_ready: Callable[[str], None] | None = None) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; then close everything.

        Args:
            on_ready: Called once with the URL when the server answers requests.
        """
        if on_ready is not None:
            self._server.on_ready = lambda: on_ready(self.url)
        with self._closing, signals_only_stop(self._server):
            _log.info("Serving %s at %s.", self._data_dir, self.url)
            self._server.run(sockets=[self._socket])
            _log.info("Stopped serving %s.", self._data_dir)

    def start(self) -> HubServer:
        """Serve in a background thread; return when the server answers requests."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self.run, args=(lambda _url: ready.set(),), name="hub", daemon=True)
        self._thread.start()
        while not ready.wait(0.05):
            if not self._thread.is_alive():
                raise HubStartError("The Hub ended before it was ready.", "See its log.")
        return self

    def stop(self) -> None:
        """Stop serving, from any thread; waits for the thread of `start`."""
        self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> HubServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    data_dir: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    open_registration: bool = False,
    limits: HubLimits | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a Hub until SIGTERM or SIGINT; arguments and errors as for `HubServer`.

    Args:
        on_ready: Called once with the URL; by default a line `hub ready at http://...` is printed.
    """
    server = HubServer(data_dir, host, port, open_registration=open_registration, limits=limits)
    server.run(on_ready or print_ready)


def make_server(app: ASGIApp, limits: HubLimits) -> BoundedServer:
    """A server of an application that ends stalled connections; `run(sockets=[...])` serves."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        http=Connection,
    )
    return BoundedServer(config, limits)


def print_ready(url: str) -> None:
    """The line for which a parent process waits."""
    print(f"hub ready at {url}", flush=True)


def bind(host: str, port: int) -> socket.socket:
    """Listen; errors as of `HubServer`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = f"Port {port} of {host} is in use."
            raise PortTakenError(what, "Choose another with --port, or 0 for any free one.") from error
        raise HubStartError(
            f"Cannot listen at {host} port {port}: {error.strerror or error}.", "Choose another."
        ) from error


@contextlib.contextmanager
def _only_server_of(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock; the system releases the lock of a killed process."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = try_lock(data_dir / "hub.lock")
    except NoLocksError as error:
        raise HubStartError(error.what, error.next_step) from error
    except OSError as error:
        raise HubStartError(f"Cannot use {data_dir}: {error.strerror}.", "Choose another folder.") from error
    if lock is None:
        raise HubStartError(f"Another Hub is using {data_dir}.", "Stop it first, or choose another folder.")
    with lock:
        yield


@contextlib.contextmanager
def signals_only_stop(server: uvicorn.Server) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop the server and do no more.

    Ignore the signal that uvicorn raises again after its end, which would kill us before the database is closed.

    uvicorn leaves SIGHUP to this handler.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
