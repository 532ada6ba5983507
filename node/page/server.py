"""Serves the page in a thread of the node."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from paris.node.errors import PageError
from paris.node.page.app import OwnPage
from paris.node.page.guard import Bound
from paris.node.page.metrics import metrics_token
from paris.node.page.sessions import Sessions
from paris.node.page.site import Site
from paris.node.page.stream import Watch
from paris.protocol.errors import reason_of
from paris.protocol.private_files import replace_private

_logger = logging.getLogger(__name__)
_MAX_HEADER_BYTES = 16_384
_MAX_CONNECTIONS = 64
_GRACE_S = 2
_PATIENCE_S = 10.0
_BACKLOG = 64
_ANY = ("0.0.0.0", "::")
ADDRESS_FILE = "page-address"
"""In the home, while the page is served: its address with the token; only its owner can read it."""


@contextlib.contextmanager
def serving(site: Site) -> Iterator[str]:
    """Serve the page during the block.

    Args:
        site: The node; its settings say where.

    Yields:
        The address, with the token.

    Raises:
        PageError: It cannot listen there.
        OSError: The address cannot be written into the home.
    """
    config = site.config
    with _listening(config.page_host, config.page_port) as listening, _logged():
        bound = Bound(config.page_host, listening.getsockname()[1])
        sessions = Sessions(time.monotonic, metrics_token(site.home.path))
        page = OwnPage(site, bound, sessions)
        server = _Server(
            page.watch,
            uvicorn.Config(
                page.app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,  # addresses hold the token
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
                timeout_graceful_shutdown=_GRACE_S,
            ),
        )
        thread = threading.Thread(target=server.run, args=([listening],), name="page", daemon=True)
        address = address_of(bound, sessions.token)
        file = site.home.path / ADDRESS_FILE
        replace_private(file, f"{address}\n".encode("ascii"))
        thread.start()
        try:
            yield address
        finally:
            file.unlink(missing_ok=True)
            server.should_exit = True
            thread.join(_PATIENCE_S)


class _ToOurLog(logging.Handler):
    """What the server logs, in the node's log: its errors, and for -vv what others send that is no HTTP."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelno if record.levelno >= logging.ERROR else logging.DEBUG
        _logger.log(level, "%s", record.getMessage(), exc_info=record.exc_info)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    theirs, handler = logging.getLogger("uvicorn.error"), _ToOurLog()
    theirs.addHandler(handler)
    theirs.propagate = False
    try:
        yield
    finally:
        theirs.removeHandler(handler)


class _Server(uvicorn.Server):
    """Ends the streams when it ends. In a thread of its own, so it leaves the signals to the node."""

    def __init__(self, watch: Watch, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._watch = watch

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._watch.stopping.set()
        await super().shutdown(sockets)


def address_of(bound: Bound, token: str) -> str:
    """The address to open; of a page that listens on all addresses, this machine's own."""
    host = "127.0.0.1" if bound.host in _ANY else bound.host
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.port}/?token={token}"


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PageError(
            f"The page cannot listen on {host}, port {port}: {reason_of(error)}.",
            "Choose another --page-port (0 takes a free one) or --page-host, or join without --page.",
        ) from error
    with listening:
        yield listening
