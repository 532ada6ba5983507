"""The schema of a run in PostgreSQL: made, migrated, and the row that says who may write.

Each run has a schema of its own, named by its id. Its table `service` has one row: the format of the schema, and the
present leader with its epoch (`leading.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    func,
    inspect,
    select,
)
from sqlalchemy.schema import CreateSchema

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.state.tables import METADATA
from paris.protocol.errors import NewerFileError
from paris.protocol.version import UPGRADE

FIRST_FORMAT = 11
"""Earlier formats were of SQLite alone."""
_METADATA = MetaData()
SERVICE = Table(
    "service",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("leader", String, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("saves", BigInteger, nullable=False),
)
"""One row. `epoch` counts the leaders; the leader's records have sequences below `sequence`; `saves` counts all
saves."""

COORDINATORS = Table(
    "coordinators",
    _METADATA,
    Column("peer_id", String, primary_key=True),
    Column("addresses", String, nullable=False),
    Column("seen_at", Float, nullable=False),
)
"""Where the peers of the run's coordinators are, the leader's and the others'."""


def lock_key(run_id: str, purpose: str) -> int:
    """The number of an advisory lock of PostgreSQL."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {run_id}".encode()).digest()[:8], "big", signed=True)


def leader_key(run_id: str) -> int:
    """The number of the lock that the leading coordinator of a run holds."""
    return lock_key(run_id, "leader")


def prepare(engine: Engine, location: PostgresSchema, version: int, migrations: Mapping[int, str]) -> None:
    """Make a run's schema if it is missing, and bring an older one to a version.

    Args:
        engine: Of the database.
        location: The schema.
        version: The format that this software reads and writes.
        migrations: For each older format n, from FIRST_FORMAT, an SQL script that leads to n + 1.

    Raises:
        NewerFileError: A newer version wrote it; it is unchanged.
        RunDirError: It is older, and a coordinator serves the run; it is unchanged.
        DatabaseError: The server does not answer, or the user may not make a schema.
    """
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(location.run_id, "schema"))))
        found = _format(connection, location)
        if found is None:
            if not inspect(connection).has_schema(location.run_id):
                connection.execute(CreateSchema(location.run_id))
            METADATA.create_all(connection)
            _METADATA.create_all(connection)
            row = {"id": 1, "format": version, "epoch": 0, "leader": "", "sequence": 0, "saves": 0}
            connection.execute(SERVICE.insert(), row)
        elif found > version:
            raise NewerFileError(
                f"{location} was written by a newer version of this software (format {found}, this one knows "
                f"{version}).",
                f"{UPGRADE} It is unchanged.",
            )
        elif found < version:
            _migrate(connection, location, found, version, migrations)


def holds_state(engine: Engine, location: PostgresSchema) -> bool:
    """Whether the schema was made."""
    with engine.connect() as connection:
        return _format(connection, location) is not None


def _format(connection: Connection, location: PostgresSchema) -> int | None:
    if not inspect(connection).has_table("service", schema=location.run_id):
        return None
    return int(connection.execute(select(SERVICE.c.format)).scalar_one())


def _migrate(
    connection: Connection, location: PostgresSchema, found: int, version: int, migrations: Mapping[int, str]
) -> None:
    if not connection.execute(select(func.pg_try_advisory_xact_lock(leader_key(location.run_id)))).scalar_one():
        raise RunDirError(
            f"{location} is served by an older version of this software, which could not read its state after an "
            "upgrade.",
            "Stop every `paris-coord serve` of the run and start it again with this version.",
        )
    METADATA.create_all(connection)
    for step in range(found, version):
        for statement in filter(str.strip, migrations[step].split(";")):
            connection.exec_driver_sql(statement)
    connection.execute(SERVICE.update().values(format=version))
