"""Asks the node that runs in a home."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from pydantic import ValidationError

from paris.node.control.address import socket_address
from paris.node.control.messages import Reply, Request
from paris.node.errors import ControlError, NotRunningError
from paris.protocol.errors import reason_of

_PATIENCE_S = 15.0
_NOBODY = {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}


def ask(home: Path, request: Request) -> Reply:
    """Send a request and wait for the reply.

    Args:
        home: The node's folder.
        request: What to do.

    Raises:
        NotRunningError: No node runs in this home.
        ControlError: It does not answer, or refuses.
        SettingsError: The home's path is too long for a socket on this system.
    """
    try:
        with socket_address(home) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(address)
            connection.sendall(request.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as lines:
                reply = Reply.model_validate_json(lines.readline())
    except OSError as error:
        if error.errno in _NOBODY:
            raise NotRunningError(f"No node runs in the home {home}.", "Start it: paris-node join RUN") from error
        raise ControlError(
            f"The node in {home} does not answer: {reason_of(error)}.", "Try again; or stop it: Ctrl-C."
        ) from error
    except ValidationError as error:
        raise ControlError(
            f"The node in {home} gave no valid answer.", "Use the version of paris-node that runs there."
        ) from error
    if not reply.is_ok:
        raise ControlError(reply.text, reply.next_step)
    return reply
