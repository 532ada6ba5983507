"""The libp2p key file, which keeps the peer id over restarts; locked while in use.

    peer.id     a protobuf `crypto.pb.PrivateKey` with an RSA key in DER, mode 0400 (the format of p2pd)

Two daemons with one identity confuse other peers. hivemind's check starts a second daemon with port mapping on, so
a file lock is used instead.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from paris.protocol.errors import IdentityError


class IdentityLock:
    """Locks an identity file for one peer; the kernel releases it when the process ends.

    Args:
        path: An existing file.

    Raises:
        IdentityError: The file is locked by another peer, or cannot be read.
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
                "Stop that process, or use another identity file.",
            ) from error

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)
