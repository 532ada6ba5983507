"""Which of several coordinators of one PostgreSQL database leads a run.

The leader's session holds an advisory lock, which PostgreSQL frees when the session ends, however it ends. A lock alone
keeps nobody out who believes to hold it still: so each leader has an epoch, and what it saves or seals is refused once
another one has a later epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Update, func, select
from sqlalchemy.dialects.postgresql import insert

from paris.coordinator.errors import DatabaseError, DeposedError
from paris.coordinator.run.database import PostgresSchema, StateLocation
from paris.coordinator.state.engine import open_engine
from paris.coordinator.state.postgres import COORDINATORS, SERVICE, leader_key
from paris.protocol.clock import Clock
from paris.protocol.sealer import reserved_above

_KNOWN_S = 7 * 86400.0
"""How long the addresses of a coordinator that is not seen any more are told."""
_MOST_OTHERS = 3


class Leadership:
    """One coordinator's claim to lead a run. For one thread at a time, but for `require` and `reserve`.

    Args:
        location: The run's schema, which exists.
        peer_id: Names this coordinator.
        clock: UTC seconds.
    """

    def __init__(self, location: PostgresSchema, peer_id: str, clock: Clock = time.time) -> None:
        self._location, self._peer_id, self._clock = location, peer_id, clock
        self._engine = open_engine(location)
        self._session: Connection | None = None
        """Holds the lock, or will."""
        self._has_lock = False
        self.epoch = 0
        """Of this leader; 0 before it leads."""
        self.reserved = 0
        """The sequence below which records of this leader or an earlier one may exist."""
        self.predecessor = ""
        """The peer id of the leader before; empty for the first."""

    def try_to_lead(self) -> bool:
        """Take the lead if nobody has it.

        Raises:
            DatabaseError: The database does not answer.
        """
        if not self._try_lock():
            return False
        with self._engine.begin() as connection:
            before = connection.execute(select(SERVICE).with_for_update()).one()
            self.epoch, self.reserved, self.predecessor = before.epoch + 1, before.sequence, before.leader
            connection.execute(SERVICE.update().values(epoch=self.epoch, leader=self._peer_id))
        return True

    def leader(self) -> str:
        """The peer id of the leader that there is or was last; empty before the first."""
        with self._engine.connect() as connection:
            return str(connection.execute(select(SERVICE.c.leader)).scalar_one())

    def keep(self) -> None:
        """Make sure that the lock is held; after a lost connection it is taken again, if nobody has led meanwhile.

        Raises:
            DeposedError: Another coordinator leads, or has led since.
            DatabaseError: The database does not answer, or still holds the lock for the lost connection.
        """
        if self._has_lock and self._session is not None:
            try:
                self._session.execute(select(1))
                return
            except DatabaseError:
                self._lose_session()
        has_lock = self._try_lock()
        self.require()
        if not has_lock:
            raise DatabaseError(f"{self._location} still holds the lock of a connection that was lost.")

    def require(self) -> None:
        """Check that nobody has led since.

        Raises:
            DeposedError: Somebody has.
            DatabaseError: The database does not answer.
        """
        with self._engine.connect() as connection:
            if connection.execute(select(SERVICE.c.epoch)).scalar_one() != self.epoch:
                raise _deposed()

    def reserve(self, sequence: int) -> None:
        """Make sure that later leaders seal above this sequence; an earlier leader cannot any more.

        Raises:
            DeposedError: Another coordinator leads, or has led since.
            DatabaseError: The database does not answer.
        """
        if sequence < self.reserved:
            return
        reserved = reserved_above(sequence, self.reserved)
        with self._engine.begin() as connection:
            if connection.execute(_as_leader(self.epoch).values(sequence=reserved)).rowcount != 1:
                raise _deposed()
        self.reserved = reserved

    def announce(self, addresses: list[str]) -> None:
        """Tell the other coordinators the addresses of this one's peer."""
        row = {"peer_id": self._peer_id, "addresses": json.dumps(addresses), "seen_at": self._clock()}
        with self._engine.begin() as connection:
            statement = insert(COORDINATORS).values(row)
            connection.execute(statement.on_conflict_do_update(index_elements=["peer_id"], set_=row))

    def other_addresses(self) -> list[str]:
        """An address of each other coordinator that was seen in the last week, the newest first."""
        with self._engine.connect() as connection:
            return _addresses(connection, self._peer_id, self._clock())

    def close(self) -> None:
        """Give the lead back, if this one has it."""
        if self._session is not None and self._has_lock:
            with suppress(DatabaseError):  # which frees it as well, but the end of a session takes its time
                self._session.execute(select(func.pg_advisory_unlock(leader_key(self._location.run_id))))
        self._lose_session()
        self._engine.dispose()

    def _try_lock(self) -> bool:
        if self._session is None:
            self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            key = leader_key(self._location.run_id)
            self._has_lock = bool(self._session.execute(select(func.pg_try_advisory_lock(key))).scalar_one())
        except DatabaseError:
            self._lose_session()
            raise
        return self._has_lock

    def _lose_session(self) -> None:
        """End the session, and the lock with it; given back to the pool it would go on to hold the lock."""
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
        self._session, self._has_lock = None, False


def known_addresses(location: PostgresSchema) -> list[str]:
    """An address of each coordinator that was seen in the last week, the newest first.

    Raises:
        DatabaseError: The database does not answer.
    """
    engine = open_engine(location)
    try:
        with engine.connect() as connection:
            return _addresses(connection, "", time.time())
    finally:
        engine.dispose()


def require_same_leader(location: StateLocation) -> Callable[[], None]:
    """A check for a process beside the leader, that nobody has led since this call.

    Args:
        location: The run's state; that of a file has one coordinator.

    Returns:
        What raises DeposedError where somebody has, and DatabaseError where nobody can know.

    Raises:
        DatabaseError: The database does not answer.
    """
    if not isinstance(location, PostgresSchema):
        return lambda: None
    before = _epoch(location)

    def require() -> None:
        if _epoch(location) != before:
            raise _deposed()

    return require


def _epoch(location: PostgresSchema) -> int:
    engine = open_engine(location)
    try:
        with engine.connect() as connection:
            return int(connection.execute(select(SERVICE.c.epoch)).scalar_one())
    finally:
        engine.dispose()


def _addresses(connection: Connection, but: str, now: float) -> list[str]:
    """Of all coordinators but one, by its peer id."""
    seen = COORDINATORS.c.peer_id != but, COORDINATORS.c.seen_at > now - _KNOWN_S
    newest = select(COORDINATORS.c.addresses).where(*seen).order_by(COORDINATORS.c.seen_at.desc()).limit(_MOST_OTHERS)
    found = (json.loads(text) for text in connection.execute(newest).scalars())
    return [addresses[0] for addresses in found if addresses]


@dataclass(frozen=True)
class Fence:
    """What a leader's next save has to follow."""

    epoch: int
    last: int
    """Number of the last save that is known to be written."""
    is_sure: bool = True
    """Whether no later one was tried, which the database may have written before the connection was lost."""


def make_fence(connection: Connection, epoch: int) -> Fence:
    """The fence of a leader that begins now."""
    return Fence(epoch, connection.execute(select(SERVICE.c.saves)).scalar_one())


def count_save(connection: Connection, fence: Fence | None) -> int:
    """Count a save, of which one is made at a time; returns its number.

    Args:
        connection: In the transaction of the save.
        fence: Of the leader that saves; None: another command, which adds to the state.

    Raises:
        DeposedError: There is a later epoch; or the database lacks saves, as a copy that it failed over to may, or may
            have one more than the leader knows.
    """
    update = SERVICE.update() if fence is None else _as_leader(fence.epoch)
    number = connection.execute(update.values(saves=SERVICE.c.saves + 1).returning(SERVICE.c.saves)).scalar()
    if number is None:
        raise _deposed()
    if fence is not None and (number <= fence.last or (number > fence.last + 1 and not fence.is_sure)):
        raise DeposedError(
            "The database does not have what was saved last.", "This coordinator starts from what it has."
        )
    return int(number)


def _deposed() -> DeposedError:
    return DeposedError("Another coordinator leads the run.", "This one stands by.")


def _as_leader(epoch: int) -> Update:
    return SERVICE.update().where(SERVICE.c.epoch == epoch)
