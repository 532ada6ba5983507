"""The invites that were made: `paris-coord invite` writes them, the service only reads what wants show."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from paris.coordinator.state.tables import INVITES


@dataclass(frozen=True)
class IssuedInvite:
    """An invite as it was made; its text is a secret and is not kept."""

    invite_id: str
    uses: int
    made_at: float
    """UTC seconds."""
    expires_at: float


def add_invite(connection: Connection, invite: IssuedInvite) -> None:
    """Note an invite, so that it can be listed and withdrawn."""
    connection.execute(insert(INVITES).values(**asdict(invite)))


def read_invites(connection: Connection) -> list[IssuedInvite]:
    """All invites, oldest first."""
    rows = connection.execute(select(INVITES).order_by(INVITES.c.made_at, INVITES.c.invite_id)).all()
    return [IssuedInvite(*row) for row in rows]
