"""The libp2p key file: it keeps a peer id over restarts, and is locked while a peer uses it.

    peer.id     a protobuf `crypto.pb.PrivateKey` with an RSA key in DER, mode 0400 (the format of p2pd)

Two daemons with one identity confuse every other peer. hivemind's own check for that starts a second daemon with port
mapping switched on, so it is not used here.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from paris.protocol.errors import IdentityError


class IdentityLock:
    """Holds an identity file for one peer; the kernel frees it when the process ends.

    Args:
        path: The file; it must exist.

    Raises:
        IdentityError: Another process, or another peer of this one, holds it; or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise IdentityError(f"The identity file {path} cannot be read: {error.strerror}.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise IdentityError(
                f"The identity {path} is in use by another process.",
                "Stop that process, or give this one an identity file of its own.",
            ) from error

    def release(self) -> None:
        """Let the next peer have it."""
        os.close(self._descriptor)
