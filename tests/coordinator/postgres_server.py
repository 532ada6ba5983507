"""Debian's PostgreSQL in a temporary folder, reached by a socket in it; a schema for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deadlines import DEADLINE_S

_PROGRAMS = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}


def why_not() -> str | None:
    """Why no server can be started here; None: one can."""
    try:
        import psycopg  # noqa: F401
    except ModuleNotFoundError:
        return "psycopg is not installed: pip install 'paris-swarm[postgres]'"
    return None if _programs() is not None else f"there is no PostgreSQL in {_PROGRAMS}: apt-get install postgresql"


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        options = " ".join(f"-c {name}={value!r}" for name, value in _SETTINGS.items())
        options += f" -c unix_socket_directories='{self.folder}'"
        _control(self.folder, "start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """At once, as in a power cut."""
        _control(self.folder, "stop", "-m", "immediate")


@contextmanager
def started_server() -> Iterator[Server]:
    # Not in pytest's folder: the path of a socket is 107 bytes long at most, and the server's user must reach it.
    folder = Path(tempfile.mkdtemp(prefix="paris-pg-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        _run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _control(folder: Path, *words: str) -> None:
    _run("pg_ctl", "-D", str(folder / "data"), *words)


def _run(program: str, *words: str) -> None:
    programs = _programs()
    assert programs is not None
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # the server refuses to run as root
    command = [*as_user, str(programs / program), *words]
    with tempfile.TemporaryFile() as said:  # a pipe would stay open in the server
        done = subprocess.run(command, stdout=said, stderr=said, cwd="/", timeout=DEADLINE_S, check=False)
        said.seek(0)
        assert done.returncode == 0, said.read().decode()


def _programs() -> Path | None:
    return next((file.parent for file in sorted(_PROGRAMS.glob("[0-9]*/bin/initdb"))), None)
