"""`python -m paris.coordinator.hub --data DIR`: the Hub as a process of its own; logs go to stderr."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from paris.coordinator.hub.app import HubApp
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import HubServer, print_ready
from paris.protocol.errors import ParisError, heading
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.logs import start_logging
from paris.protocol.streams import protect_streams

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_HEAP_BYTES = 32 * 1024**2


def _keep_heap() -> None:
    """Let malloc keep freed memory; returned after each chunk of an upload, it comes back in 4 KiB page faults.

    This saves about 1 CPU second a GB. No-op without glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_HEAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_HEAP_BYTES)


def main(arguments: list[str] | None = None, front: Callable[[HubApp], ASGIApp] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Args:
        arguments: Of the command line; None: this process's.
        front: As of `HubServer`.
    """
    parser = argparse.ArgumentParser(prog="python -m paris.coordinator.hub", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the Hub; admin.token is written there")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port (default: any free one)")
    parser.add_argument("--open-registration", action="store_true", help="unknown tokens make volunteers")
    parser.add_argument("--limits", default="{}", help="bounds as JSON, e.g. '{\"max_commit_bytes\": 1000000}'")
    options = parser.parse_args(arguments)
    protect_streams()
    exit_with_parent()
    _keep_heap()
    start_logging(verbosity=1)
    try:
        limits = HubLimits.model_validate_json(options.limits)
    except ValueError as error:
        parser.error(f"--limits: {error}")
    try:
        server = HubServer(
            options.data,
            options.host,
            options.port,
            open_registration=options.open_registration,
            limits=limits,
            front=front,
        )
    except ParisError as error:
        print(f"{heading(error.error_code)} {error}", file=sys.stderr)
        return error.exit_code
    server.run(print_ready)
    return 0


if __name__ == "__main__":
    sys.exit(main())
