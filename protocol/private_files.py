"""Files of secrets: mode 0600 in a folder of mode 0700, written whole or not at all.

The bytes go to a temporary name in the same folder, are synced, and get their name last: a full disk or a crash leaves
no file, or the one before.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""How file systems without hard links refuse one."""


def create_private(path: Path, data: bytes) -> bool:
    """Create the file of a secret; a missing folder is made with mode 0700.

    Args:
        path: The file.
        data: Its content.

    Returns:
        False if the file exists already; it is not changed.

    Raises:
        OSError: It cannot be written; `filename` is `path`, and nothing is left behind.
    """
    with _written(path, data) as partial:
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if path.exists():
                return False
            partial.replace(path)
    return True


def replace_private(path: Path, data: bytes) -> None:
    """Create or replace the file of a secret; arguments and errors as for `create_private`."""
    with _written(path, data) as partial:
        partial.replace(path)


def make_private_folder(path: Path) -> None:
    """Make a folder with mode 0700 if it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """Yield a synced temporary file with the bytes; sync the folder after the block has named it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        make_private_folder(path.parent)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield partial
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
