"""Connections to the database of the state: SQLite (WAL), or PostgreSQL."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import NullPool

from paris.coordinator.errors import DatabaseError
from paris.coordinator.run.database import PostgresSchema, StateLocation

logger = logging.getLogger(__name__)
_BUSY_S = 10.0
_OPTIONS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "paris-coord",
}
"""Of libpq: a server that went away without a word is noticed within 20 seconds."""


def open_engine(location: StateLocation, *, read_only: bool = False) -> Engine:
    """Connections to a database; nothing is connected yet.

    Args:
        location: An SQLite file, or a run's schema in PostgreSQL.
        read_only: Whether the database refuses to write; a missing SQLite file is then not made.

    Returns:
        An engine. With PostgreSQL, whatever keeps the server from answering is raised as DatabaseError.
    """
    if isinstance(location, PostgresSchema):
        return _postgres_engine(location, read_only)
    if read_only:
        return _reading_engine(location)
    engine = create_engine(f"sqlite:///{location}")
    event.listen(engine, "connect", _use_wal)
    return engine


def is_postgres(engine: Engine) -> bool:
    """Whether an engine is of PostgreSQL."""
    return engine.dialect.name == "postgresql"


def snapshots_of(engine: Engine) -> Engine:
    """The engine for reading several tables as of one moment."""
    return engine.execution_options(isolation_level="REPEATABLE READ") if is_postgres(engine) else engine


def _postgres_engine(location: PostgresSchema, read_only: bool) -> Engine:
    import psycopg

    def connected() -> psycopg.Connection:
        connection = psycopg.connect(location.url, autocommit=True, **_OPTIONS)
        connection.execute(f'SET search_path TO "{location.run_id}"')  # its characters are a-z, 0-9 and -
        connection.execute(f"SET default_transaction_read_only TO {'on' if read_only else 'off'}")
        connection.autocommit = False
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connected, pool_pre_ping=True)

    refusals = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.InsufficientPrivilege)

    @event.listens_for(engine, "handle_error")
    def _typed(context: ExceptionContext) -> None:
        if not isinstance(context.original_exception, refusals):
            return
        reason = str(context.original_exception).strip().splitlines()[0]
        logger.debug("PostgreSQL does not answer.", exc_info=context.original_exception)
        raise DatabaseError(
            f"The database {location} cannot be used: {reason}.",
            "Check that it runs, [state] database in run.toml, and the password in ~/.pgpass or PGPASSWORD.",
        ) from context.original_exception

    return engine


def _reading_engine(path: Path) -> Engine:
    """For a file that another process writes, each transaction as of one moment."""

    def connected() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)

    engine = create_engine("sqlite://", creator=connected, poolclass=NullPool)
    # Python's driver begins no transaction for a SELECT.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _use_wal(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    settings = {
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "busy_timeout": int(1000 * _BUSY_S),
        # 32 MB, where the default is 4 MB: a page that changes at every step is copied into the file once for many.
        "wal_autocheckpoint": 8192,
    }
    for name, value in settings.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()
