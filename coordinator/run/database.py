"""Where a run keeps its state: an SQLite file in its directory, or a schema of a PostgreSQL database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from paris.protocol.secrets import keep_secret

STATE_FILE = "state.sqlite"
_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True)
class PostgresSchema:
    """The state of one run in PostgreSQL."""

    url: str
    """As libpq reads it, without a password."""
    run_id: str
    """Names the schema: several runs may share a database."""

    def __str__(self) -> str:
        """For messages: without the options, such as the path of a password file."""
        return f"{self.url.partition('?')[0]} ({self.run_id})"


StateLocation = Path | PostgresSchema


def state_location(run_dir: Path, run_id: str, database: str | None) -> StateLocation:
    """Where the state of a run is.

    Args:
        run_dir: The run directory.
        run_id: The run.
        database: `[state] database` of run.toml.
    """
    if database is None:
        return run_dir / STATE_FILE
    keep_secret(os.environ.get("PGPASSWORD"))
    return PostgresSchema(database, run_id)


def check_database(url: str) -> None:
    """Check `[state] database`.

    Raises:
        ValueError: It is no address of PostgreSQL, or has a password in it.
    """
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError as error:
        raise ValueError("state.database is no address") from error
    if has_password:
        raise ValueError(
            "state.database has a password in it: leave it out, and put it into ~/.pgpass, the file that ?passfile= "
            "names, or PGPASSWORD"
        )
    if parts.scheme not in _SCHEMES:
        raise ValueError("state.database is not the address of a PostgreSQL database, postgresql://USER@HOST/NAME")
