"""A database as somebody reads it who makes and migrates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, select

from paris.coordinator.run.database import PostgresSchema, StateLocation
from paris.coordinator.state.engine import is_postgres, open_engine, snapshots_of
from paris.coordinator.state.postgres import SERVICE, holds_state
from paris.coordinator.state.store import VERSION


class Looker:
    """Transactions of one connection, which is kept; for one thread at a time.

    Args:
        location: The database.
    """

    def __init__(self, location: StateLocation) -> None:
        self._location = location
        self._engine = open_engine(location, read_only=True)
        self._connection: Connection | None = None

    @contextmanager
    def look(self) -> Iterator[Connection | None]:
        """A transaction, as of one moment; None while the database is missing or of another version.

        Raises:
            DatabaseError: PostgreSQL does not answer; the next look connects again.
            SQLAlchemyError: The SQLite file cannot be read.
        """
        if not self._is_there():
            yield None
            return
        if self._connection is None:
            self._connection = snapshots_of(self._engine).connect()
        try:
            with self._connection.begin():
                yield self._connection if self._is_of_this_version(self._connection) else None
        except BaseException:
            self._disconnect()
            raise

    def version(self, connection: Connection) -> int:
        """A number that differs after each save of another connection.

        Args:
            connection: Of `look`.
        """
        if is_postgres(self._engine):
            return int(connection.execute(select(SERVICE.c.saves)).scalar_one())
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        self._engine.dispose()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_there(self) -> bool:
        if self._connection is not None:
            return True
        if isinstance(self._location, PostgresSchema):
            return holds_state(self._engine, self._location)
        return self._location.is_file()

    def _is_of_this_version(self, connection: Connection) -> bool:
        if is_postgres(self._engine):
            return bool(connection.execute(select(SERVICE.c.format)).scalar_one() == VERSION)
        return bool(connection.exec_driver_sql("PRAGMA user_version").scalar_one() == VERSION)
