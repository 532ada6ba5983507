"""The coordinator's memory on disk: in SQLite (WAL) by default, or in PostgreSQL.

`save` writes the changes and events of one tick in one transaction: after a crash or a power cut the state is that of
the last whole tick. A lease that was published is on the disk, because its attempt number is what keeps an earlier
holder out.

Nothing here grows for ever: curves are thinned (`curves.py`), the oldest events dropped (`event_log.py`). When a
volunteer was seen last changes with each of its wants: that alone is written now and then (`_is_news`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from paris.coordinator.migrations import Migration, migrate, stamp
from paris.coordinator.run.database import PostgresSchema, StateLocation
from paris.coordinator.state.curves import Curves, new_losses
from paris.coordinator.state.engine import is_postgres, open_engine, snapshots_of
from paris.coordinator.state.event_log import EventLog, LoggedEvent, newest_id, read_events, read_log
from paris.coordinator.state.events import Event
from paris.coordinator.state.invites import IssuedInvite, add_invite, read_invites
from paris.coordinator.state.leading import Fence, count_save, make_fence
from paris.coordinator.state.model import State, VolunteerState
from paris.coordinator.state.old_boards import with_changes
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.postgres import prepare
from paris.coordinator.state.row import Row
from paris.coordinator.state.tables import FLAGS, METADATA, ORDERS, SINGLE, TABLES, in_order

VERSION = 12
"""Of the file; a new field in a row of `model.py` needs a new one (`migrations.py`)."""
_MIGRATIONS: dict[int, Migration] = {
    1: "CREATE INDEX IF NOT EXISTS curves_by_attempt ON curves (task_id, attempt)",
    2: "",
    3: "CREATE TABLE IF NOT EXISTS orders (id INTEGER NOT NULL PRIMARY KEY, kind VARCHAR NOT NULL, "
    "subject VARCHAR NOT NULL, reason TEXT NOT NULL); ALTER TABLE orders ADD COLUMN step INTEGER",
    4: "",
    5: "",
    6: "",
    7: "",
    8: "",
    9: "",
    10: with_changes,
    11: "DELETE FROM curves WHERE attempt < (SELECT MAX(attempt) FROM curves AS o WHERE o.task_id = curves.task_id)",
}
_POSTGRES_MIGRATIONS: dict[int, str] = {11: ""}
"""From `postgres.FIRST_FORMAT`; empty where only tables are new."""


SEEN_BEATS = 4
"""While a run is served, when a volunteer was seen last is behind on disk by so many heartbeats at most."""
_UPSERTS: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Both add a row, or replace it, by one statement."""


class Store:
    """Loads and saves the state.

    Args:
        location: An SQLite file or a schema of PostgreSQL; made if missing, migrated if an older version wrote it.
        seen_every_s: By how much when a volunteer was seen may be behind on disk; 0.0: it is written at each change.

    Raises:
        NewerFileError: A newer version wrote it; it is unchanged.
        RunDirError: An older version serves the run from PostgreSQL; the schema is unchanged.
        DatabaseError: The file is damaged, or PostgreSQL does not answer.
    """

    def __init__(self, location: StateLocation, *, seen_every_s: float = 0.0) -> None:
        if isinstance(location, Path):
            with suppress(OSError):  # SQLite names the problem better
                location.touch(0o600)
                location.chmod(0o600)  # also of its log, and of a file that an earlier version made
            migrate(location, VERSION, _MIGRATIONS)
        self._engine = open_engine(location)
        if isinstance(location, PostgresSchema):
            try:
                prepare(self._engine, location, VERSION, _POSTGRES_MIGRATIONS)
            except BaseException:
                self._engine.dispose()
                raise
        else:
            METADATA.create_all(self._engine)
            stamp(location, VERSION)
        with self._engine.connect() as connection:
            self._curves = Curves(connection)
        self._log: EventLog | None = None
        self._seen_every_s = seen_every_s
        self._behind: dict[str, float] = {}
        """When a volunteer was seen last as it is on disk, UTC seconds, where the state has a later time."""
        self._fence: Fence | None = None

    def fence(self, epoch: int) -> None:
        """Let each further save fail once another coordinator leads.

        Args:
            epoch: Of the coordinator that saves, with PostgreSQL (`leading.py`).
        """
        with self._engine.connect() as connection:
            self._fence = make_fence(connection, epoch)

    def load(self) -> State:
        """Read the whole state; an empty one if nothing was saved."""
        found: dict[str, Any] = {}
        with snapshots_of(self._engine).connect() as connection:
            for name, (table, row_class) in TABLES.items():
                rows = connection.execute(select(table.c.id, table.c.row)).all()
                found[name] = in_order(name, {row_id: row_class.model_validate_json(text) for row_id, text in rows})
        single = {name: found.pop(name).get(name, TABLES[name][1]()) for name in SINGLE}
        return State(**found, **single)

    def task_ids(self) -> set[str]:
        """The ids of all tasks."""
        with self._engine.connect() as connection:
            return set(connection.execute(select(TABLES["tasks"][0].c.id)).scalars())

    def save(
        self,
        old: State,
        new: State,
        events: Iterable[Event],
        now: float,
        *,
        done_flags: Collection[str] = (),
        done_orders: Collection[int] = (),
    ) -> None:
        """Write the rows that differ between two states, and the events with what they change, in one transaction.

        Args:
            old: The state on disk.
            new: The state to be written.
            events: Lines for the log.
            now: UTC seconds.
            done_flags: Flags that the new state has taken in; cleared in the same transaction.
            done_orders: Ids of the orders that it has taken in; deleted in the same transaction.

        Raises:
            DeposedError: Another coordinator leads by now, or the database lacks earlier saves; nothing is written.
        """
        lines = list(events)
        changes = {name: _changed(_rows(old, name), _rows(new, name)) for name in TABLES}
        dropped = {name: _dropped(_rows(old, name), _rows(new, name)) for name in TABLES}
        behind = self._leave_out(changes["volunteers"], old.volunteers)
        for key in dropped["volunteers"]:
            behind.pop(key, None)
        if not (lines or done_flags or done_orders) and not any(changes.values()) and not any(dropped.values()):
            self._behind = behind
            return
        if self._log is None:  # to fold a long log takes seconds, in which nobody else could write
            with self._engine.connect() as connection:
                self._log = read_log(connection, None)
        fence = self._fence
        self._fence = fence and replace(fence, is_sure=False)
        with self._engine.begin() as connection:
            number = count_save(connection, fence) if is_postgres(self._engine) else 0
            for name, rows in changes.items():
                _delete_rows(connection, TABLES[name][0], dropped[name])
                _put(connection, TABLES[name][0], _as_json(rows))
            self._curves.add(connection, new_losses(old, new))
            log = read_log(connection, self._log).add(connection, new, lines, now)
            connection.execute(FLAGS.delete().where(FLAGS.c.name.in_(done_flags)))
            connection.execute(ORDERS.delete().where(ORDERS.c.id.in_(done_orders)))
        self._log, self._behind = log, behind
        self._fence = fence and Fence(fence.epoch, number)

    def _leave_out(self, changed: dict[str, Row], old: Mapping[str, VolunteerState]) -> dict[str, float]:
        """Take the volunteers of whom nothing is new out of what is written; what `_behind` becomes."""
        behind = dict(self._behind)
        for key, row in list(changed.items()):
            before = old.get(key)
            if isinstance(row, VolunteerState) and before is not None and not _is_news(before, row):
                on_disk = behind.setdefault(key, before.seen_at)
                if 0 <= row.seen_at - on_disk < self._seen_every_s:
                    del changed[key]
                    continue
            behind.pop(key, None)
        return behind

    def compact(self) -> None:
        """Thin every curve, and give the space of deleted rows back to the disk."""
        with self._engine.begin() as connection:
            self._curves.thin_all(connection)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if not is_postgres(self._engine):  # which does so by itself
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def events(self, after: int = 0) -> list[LoggedEvent]:
        """The lines for people with a greater id than `after`, oldest first."""
        with self._engine.connect() as connection:
            return read_events(connection, after)

    def newest_event_id(self) -> int:
        """The id of the newest event; 0 before the first."""
        with self._engine.connect() as connection:
            return newest_id(connection)

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Step and loss of each task, from the heartbeats of its attempts."""
        with self._engine.connect() as connection:
            return self._curves.read(connection)

    def add_order(self, order: Order) -> None:
        """Leave an order for the service, which may run now or later."""
        with self._engine.begin() as connection:
            row = {"kind": order.kind.value, "subject": order.subject, "reason": order.reason, "step": order.step}
            connection.execute(ORDERS.insert().values(**row))

    def orders(self) -> dict[int, Order]:
        """The orders that no saved state has taken in yet, by id, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ORDERS).order_by(ORDERS.c.id)).all()
        return {row.id: Order(OrderKind(row.kind), row.subject, row.reason, row.step) for row in rows}

    def add_invite(self, invite: IssuedInvite) -> None:
        """Note an invite that was made."""
        with self._engine.begin() as connection:
            add_invite(connection, invite)

    def invites(self) -> list[IssuedInvite]:
        """The invites that were made, oldest first."""
        with self._engine.connect() as connection:
            return read_invites(connection)

    def set_flag(self, name: str, value: str = "1") -> None:
        """Set a flag for the running service, such as a request for router training."""
        with self._engine.begin() as connection:
            connection.execute(FLAGS.delete().where(FLAGS.c.name == name))
            connection.execute(FLAGS.insert().values(name=name, value=value))

    def flag(self, name: str) -> str | None:
        """The value of a flag that no saved state has taken in yet; None if it is not set."""
        with self._engine.connect() as connection:
            return connection.execute(select(FLAGS.c.value).where(FLAGS.c.name == name)).scalar()

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


def _rows(state: State, name: str) -> Mapping[str, Row]:
    return {name: getattr(state, name)} if name in SINGLE else getattr(state, name)


def _changed(old: Mapping[str, Row], new: Mapping[str, Row]) -> dict[str, Row]:
    if old is new:
        return {}
    return {row_id: row for row_id, row in new.items() if old.get(row_id) is not row and old.get(row_id) != row}


def _dropped(old: Mapping[str, Row], new: Mapping[str, Row]) -> list[str]:
    return [] if old is new else [row_id for row_id in old if row_id not in new]


def _delete_rows(connection: Connection, table: Table, ids: list[str]) -> None:
    if ids:
        connection.execute(table.delete().where(table.c.id == bindparam("row_id")), [{"row_id": name} for name in ids])


def _as_json(rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    return [{"id": name, "row": row.model_dump_json()} for name, row in rows.items()]


def _put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Add rows or replace them, all by one statement: a statement a row costs eight times the processor time."""
    if rows:
        put = _UPSERTS[connection.dialect.name](table)
        connection.execute(put.on_conflict_do_update(index_elements=["id"], set_={"row": put.excluded.row}), rows)


def _is_news(old: VolunteerState, new: VolunteerState) -> bool:
    """Whether more of a volunteer has changed than the time and number of its last want, and what its machine has free.

    Since when one waits that does not is no news either: it counts from the next want that waits.
    """
    passing = {"seen_at", "want_sequence", "want"} | (set() if new.want.state == "waiting" else {"waiting_since"})
    free = {"memory_bytes", "disk_bytes"}
    return _differ(old, new, passing) or _differ(old.want, new.want, free)


def _differ(one: BaseModel, other: BaseModel, but: Set[str]) -> bool:
    """Whether two rows of a kind differ in other fields than some."""
    return any(value != getattr(other, name) for name, value in one if name not in but)
