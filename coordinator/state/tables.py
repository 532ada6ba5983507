"""Tables: one a row class of `model.py`, with id and row as JSON; events, curves, orders and flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.model import (
    LeaseState,
    PauseState,
    ReleaseState,
    RouterState,
    StandingState,
    SubmissionState,
    TaskState,
    VolunteerState,
    WithdrawnInvite,
)
from paris.coordinator.state.row import Row
from paris.protocol.lanes import lane_of

METADATA = MetaData()


class Line(TypeDecorator[str]):
    """A text from elsewhere; PostgreSQL takes none with a zero byte."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The text without zero bytes."""
        return value if value is None else value.replace("\0", "\ufffd")


def _table(name: str) -> Table:
    return Table(name, METADATA, Column("id", String, primary_key=True), Column("row", Text, nullable=False))


TABLES: dict[str, tuple[Table, type[Row]]] = {
    "tasks": (_table("tasks"), TaskState),
    "leases": (_table("leases"), LeaseState),
    "volunteers": (_table("volunteers"), VolunteerState),
    "submissions": (_table("submissions"), SubmissionState),
    "router": (_table("router"), RouterState),
    "release": (_table("release"), ReleaseState),
    "standings": (_table("standings"), StandingState),
    "pause": (_table("pause"), PauseState),
    "audits": (_table("audits"), AuditState),
    "withdrawn_invites": (_table("withdrawn_invites"), WithdrawnInvite),
}
SINGLE = {"router", "release", "pause"}
"""Tables of one row, whose id is the table's name."""
_ORDER: dict[str, Callable[[Any], Any]] = {
    "tasks": lambda row: (row.task.cluster, lane_of(row.task.task_id)),
    "leases": lambda row: row.lease.granted_at,
    "submissions": lambda row: row.seen_at,
    "audits": lambda row: row.granted_at,
}


def in_order(name: str, rows: dict[str, Any]) -> dict[str, Any]:
    """The rows of a table as they came: tasks by number, work by time. PostgreSQL moves a row that is replaced."""
    order = _ORDER.get(name)
    return rows if order is None else dict(sorted(rows.items(), key=lambda item: order(item[1])))


EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("text", Line, nullable=False),
    Column("changes", Text),
)
CURVES = Table(
    "curves",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("loss", Float, nullable=False),
    Index("curves_by_attempt", "task_id", "attempt"),
)
ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("reason", Line, nullable=False),
    Column("step", Integer),
)
INVITES = Table(
    "invites",
    METADATA,
    Column("invite_id", String, primary_key=True),
    Column("uses", Integer, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)
FLAGS = Table("flags", METADATA, Column("name", String, primary_key=True), Column("value", String, nullable=False))
