"""The libp2p key file, which keeps the peer id over restarts; locked while in use.

    peer.id     a protobuf `crypto.pb.PrivateKey` with an RSA key in DER, mode 0600 (the format of p2pd)

Two daemons with one identity confuse other peers. hivemind's check starts a second daemon with port mapping on, so
a file lock is used instead.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_der_private_key

from paris.protocol.errors import IdentityError
from paris.protocol.locks import try_lock
from paris.protocol.private_files import create_private

_MAX_BYTES = 1 << 16


def create_peer_identity(path: Path) -> None:
    """Create the key file of a peer, unless it exists.

    Raises:
        OSError: It cannot be written; no file is left behind.
    """
    from hivemind.proto import crypto_pb2  # in functions: only peers import hivemind
    from hivemind.utils.crypto import RSAPrivateKey

    if not path.exists():
        key = crypto_pb2.PrivateKey(key_type=crypto_pb2.KeyType.RSA, data=RSAPrivateKey().to_bytes())
        create_private(path, key.SerializeToString())


class IdentityLock:
    """Locks an identity file for one peer; the kernel releases it when the process ends.

    Args:
        path: An existing file.

    Raises:
        IdentityError: The file is locked by another peer, cannot be read, or is damaged.
        NoLocksError: The file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        try:
            lock = try_lock(path)
        except OSError as error:
            raise IdentityError(f"The identity file {path} cannot be read: {error.strerror}.") from error
        if lock is None:
            raise IdentityError(
                f"The identity {path} is in use by another process.",
                "Stop that process, or use another identity file.",
            )
        self._lock = lock
        if not _is_key(lock.read(_MAX_BYTES) or b""):
            self.release()
            raise IdentityError(
                f"The identity file {path} is damaged: it holds no RSA key of a peer.",
                "Restore it from a copy, or move it away: a new one is made, and the peer's address changes.",
            )

    def release(self) -> None:
        """Release the lock."""
        self._lock.close()


def _is_key(data: bytes) -> bool:
    from hivemind.proto import crypto_pb2

    try:
        key = crypto_pb2.PrivateKey.FromString(data)
        load_der_private_key(key.data, password=None)
    except Exception:  # protobuf's error has no public name, cryptography's have no common base
        return False
    return bool(key.key_type == crypto_pb2.KeyType.RSA)
