"""The coordinator's memory on disk: SQLAlchemy over SQLite (WAL) by default, any URL it knows otherwise.

One table a row class of `state.py`, with an id and the row as JSON, and a log of events. `save` writes what changed
and the events of one tick in one transaction: after a crash the state is that of the last whole tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """An event with its place in the log and its time, UTC seconds."""

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
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _use_wal(self._engine)
        _METADATA.create_all(self._engine)

    def load(self) -> State:
        """Read the whole state; an empty one where nothing was saved."""
        found: dict[str, dict[str, Any]] = {}
        with self._engine.connect() as connection:
            for name, (table, row_class) in _TABLES.items():
                rows = connection.execute(select(table.c.id, table.c.row)).all()
                found[name] = {row_id: row_class.model_validate_json(text) for row_id, text in rows}
        router = found.pop("router").get("router", RouterState())
        return State(**found, router=router)

    def task_ids(self) -> set[str]:
        """Which tasks there are."""
        with self._engine.connect() as connection:
            return set(connection.execute(select(_TABLES["tasks"][0].c.id)).scalars())

    def save(self, old: State, new: State, events: Iterable[Event], now: float) -> None:
        """Write what differs between two states, and the events, in one transaction.

        Args:
            old: What is on disk.
            new: What shall be.
            events: Lines for the log.
            now: UTC seconds.
        """
        events = list(events)
        changes = {name: _changed(_rows(old, name), _rows(new, name)) for name in _TABLES}
        if not events and not any(changes.values()):
            return
        with self._engine.begin() as connection:
            for name, rows in changes.items():
                table = _TABLES[name][0]
                for row_id, row in rows.items():
                    connection.execute(table.delete().where(table.c.id == row_id))
                    connection.execute(table.insert().values(id=row_id, row=row.model_dump_json()))
            for held in changes["leases"].values():
                _note_loss(connection, held, old)
            for entry in events:
                connection.execute(_EVENTS.insert().values(at=now, kind=entry.kind, text=entry.text))

    def events(self, after: int = 0) -> list[LoggedEvent]:
        """The log behind an id, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_EVENTS).where(_EVENTS.c.id > after).order_by(_EVENTS.c.id)).all()
        return [LoggedEvent(*row) for row in rows]

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Step and loss of each task's last attempt, as the heartbeats told."""
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

    def raise_flag(self, name: str, value: str = "1") -> None:
        """Leave a word for the running service, such as that the organiser wants the router trained."""
        with self._engine.begin() as connection:
            connection.execute(_FLAGS.delete().where(_FLAGS.c.name == name))
            connection.execute(_FLAGS.insert().values(name=name, value=value))

    def has_flag(self, name: str) -> bool:
        """Whether a word still waits to be read."""
        with self._engine.connect() as connection:
            return connection.execute(select(_FLAGS.c.value).where(_FLAGS.c.name == name)).scalar() is not None

    def take_flag(self, name: str) -> str | None:
        """Read and clear a word; None where there is none."""
        if not self.has_flag(name):
            return None
        with self._engine.begin() as connection:
            value = connection.execute(select(_FLAGS.c.value).where(_FLAGS.c.name == name)).scalar()
            connection.execute(_FLAGS.delete().where(_FLAGS.c.name == name))
        return value

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def _rows(state: State, name: str) -> Mapping[str, Row]:
    return {"router": state.router} if name == "router" else getattr(state, name)


def _changed(old: Mapping[str, Row], new: Mapping[str, Row]) -> dict[str, Row]:
    return {row_id: row for row_id, row in new.items() if old.get(row_id) is not row and old.get(row_id) != row}


def _note_loss(connection: Connection, held: Row, old: State) -> None:
    """Keep a heartbeat's loss for the curve, once."""
    if not isinstance(held, LeaseState) or held.heartbeat is None or held.heartbeat.loss is None:
        return
    before = old.leases.get(held.lease.lease_id)
    if before is not None and before.heartbeat is not None and before.heartbeat.step == held.heartbeat.step:
        return
    beat = held.heartbeat
    values = {"task_id": beat.task_id, "attempt": beat.attempt, "step": beat.step, "loss": beat.loss}
    connection.execute(_CURVES.insert().values(**values))


def _use_wal(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
