"""The coordinator's memory on disk: SQLAlchemy over SQLite (WAL) by default, any URL it knows otherwise.

One table a row class of `model.py`, with an id and the row as JSON, and a log of events. `save` writes the changes and
events of one tick in one transaction: after a crash the state is that of the last whole tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    select,
)

from paris.coordinator.state.events import Event
from paris.coordinator.state.model import (
    LeaseState,
    RouterState,
    Row,
    State,
    SubmissionState,
    TaskState,
    VolunteerState,
)

_METADATA = MetaData()


def _table(name: str) -> Table:
    return Table(name, _METADATA, Column("id", String, primary_key=True), Column("row", Text, nullable=False))


_TABLES: dict[str, tuple[Table, type[Row]]] = {
    "tasks": (_table("tasks"), TaskState),
    "leases": (_table("leases"), LeaseState),
    "volunteers": (_table("volunteers"), VolunteerState),
    "submissions": (_table("submissions"), SubmissionState),
    "router": (_table("router"), RouterState),
}
_EVENTS = Table(
    "events",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("text", Text, nullable=False),
)
_CURVES = Table(
    "curves",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("loss", Float, nullable=False),
)
_FLAGS = Table("flags", _METADATA, Column("name", String, primary_key=True), Column("value", String, nullable=False))


@dataclass(frozen=True)
class LoggedEvent:
    """An event as it is in the log."""

    id: int
    at: float
    kind: str
    text: str


class Store:
    """Loads and saves the state.

    Args:
        location: A SQLite file, or any SQLAlchemy URL.
    """

    def __init__(self, location: Path | str) -> None:
        url = f"sqlite:///{location}" if isinstance(location, Path) else location
        if isinstance(location, Path):
            with suppress(OSError):  # SQLite names the problem better
                location.touch(0o600)
                location.chmod(0o600)  # also of its log, and of a file that an earlier version made
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _use_wal(self._engine)
        _METADATA.create_all(self._engine)

    def load(self) -> State:
        """Read the whole state; an empty one if nothing was saved."""
        found: dict[str, dict[str, Any]] = {}
        with self._engine.connect() as connection:
            for name, (table, row_class) in _TABLES.items():
                rows = connection.execute(select(table.c.id, table.c.row)).all()
                found[name] = {row_id: row_class.model_validate_json(text) for row_id, text in rows}
        router = found.pop("router").get("router", RouterState())
        return State(**found, router=router)

    def task_ids(self) -> set[str]:
        """The ids of all tasks."""
        with self._engine.connect() as connection:
            return set(connection.execute(select(_TABLES["tasks"][0].c.id)).scalars())

    def save(self, old: State, new: State, events: Iterable[Event], now: float) -> None:
        """Write the rows that differ between two states, and the events, in one transaction.

        Args:
            old: The state on disk.
            new: The state to be written.
            events: Lines for the log.
            now: UTC seconds.
        """
        lines = [{"at": now, "kind": event.kind.value, "text": event.text} for event in events]
        changes = {name: _changed(_rows(old, name), _rows(new, name)) for name in _TABLES}
        if not lines and not any(changes.values()):
            return
        with self._engine.begin() as connection:
            for name, rows in changes.items():
                _replace_rows(connection, _TABLES[name][0], rows)
            losses = [loss for held in changes["leases"].values() if (loss := _new_loss(held, old)) is not None]
            _insert(connection, _CURVES, losses)
            _insert(connection, _EVENTS, lines)

    def events(self, after: int = 0) -> list[LoggedEvent]:
        """Events with a greater id than `after`, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_EVENTS).where(_EVENTS.c.id > after).order_by(_EVENTS.c.id)).all()
        return [LoggedEvent(*row) for row in rows]

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Step and loss of each task's last attempt, from its heartbeats."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_CURVES).order_by(_CURVES.c.id)).all()
        newest: dict[str, int] = {}
        for row in rows:
            newest[row.task_id] = max(row.attempt, newest.get(row.task_id, 0))
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            if row.attempt == newest[row.task_id]:
                curves.setdefault(row.task_id, []).append((row.step, row.loss))
        return curves

    def set_flag(self, name: str, value: str = "1") -> None:
        """Set a flag for the running service, such as a request for router training."""
        with self._engine.begin() as connection:
            connection.execute(_FLAGS.delete().where(_FLAGS.c.name == name))
            connection.execute(_FLAGS.insert().values(name=name, value=value))

    def has_flag(self, name: str) -> bool:
        """Whether a flag is set, which the service has not read yet."""
        with self._engine.connect() as connection:
            return connection.execute(select(_FLAGS.c.value).where(_FLAGS.c.name == name)).scalar() is not None

    def pop_flag(self, name: str) -> str | None:
        """Read and clear a flag; None if it is not set."""
        if not self.has_flag(name):
            return None
        with self._engine.begin() as connection:
            value = connection.execute(select(_FLAGS.c.value).where(_FLAGS.c.name == name)).scalar()
            connection.execute(_FLAGS.delete().where(_FLAGS.c.name == name))
        return value

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


def _rows(state: State, name: str) -> Mapping[str, Row]:
    return {"router": state.router} if name == "router" else getattr(state, name)


def _changed(old: Mapping[str, Row], new: Mapping[str, Row]) -> dict[str, Row]:
    if old is new:
        return {}
    return {row_id: row for row_id, row in new.items() if old.get(row_id) is not row and old.get(row_id) != row}


def _replace_rows(connection: Connection, table: Table, rows: Mapping[str, Row]) -> None:
    if rows:
        connection.execute(table.delete().where(table.c.id == bindparam("row_id")), [{"row_id": name} for name in rows])
    _insert(connection, table, [{"id": name, "row": row.model_dump_json()} for name, row in rows.items()])


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """All rows by one statement: a statement a row costs eight times the processor time."""
    if rows:
        connection.execute(table.insert(), rows)


def _new_loss(held: Row, old: State) -> dict[str, Any] | None:
    """The loss of a lease's new heartbeat, for the curve; None where it has none or it is kept already."""
    if not isinstance(held, LeaseState) or held.heartbeat is None or held.heartbeat.loss is None:
        return None
    before = old.leases.get(held.lease.lease_id)
    if before is not None and before.heartbeat is not None and before.heartbeat.step == held.heartbeat.step:
        return None
    beat = held.heartbeat
    return {"task_id": beat.task_id, "attempt": beat.attempt, "step": beat.step, "loss": beat.loss}


def _use_wal(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
