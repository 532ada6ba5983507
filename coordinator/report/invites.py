"""`paris-coord invites`: the invites of a run, who came by each, and how many more it lets in."""

from __future__ import annotations

import time
from typing import Any

from paris.coordinator.decisions.invited import let_in_by
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.invites import IssuedInvite
from paris.coordinator.state.model import State
from paris.coordinator.state.reading import open_store
from paris.protocol.printable import printable


def note_invite(run: RunDir, invite: IssuedInvite) -> None:
    """Keep a new invite in the run's list."""
    store = open_store(run)
    try:
        store.add_invite(invite)
    finally:
        store.close()


def read_invites(run: RunDir) -> list[dict[str, Any]]:
    """Read the list, oldest first.

    Returns:
        For each invite invite_id, uses, uses_left, made_at and expires_at (UTC seconds), withdrawn, reason, and
        volunteers: the names, or else the keys, of those that it let in.
    """
    store = open_store(run)
    try:
        state, made = store.load(), store.invites()
    finally:
        store.close()
    return [_row(state, invite) for invite in made]


def _row(state: State, invite: IssuedInvite) -> dict[str, Any]:
    came = let_in_by(state.standings.values(), invite.invite_id)
    withdrawn = state.withdrawn_invites.get(invite.invite_id)
    names = [state.volunteers[key].want.name if key in state.volunteers else key[:12] for key in came]
    return {
        "invite_id": invite.invite_id,
        "uses": invite.uses,
        "uses_left": 0 if withdrawn is not None else max(0, invite.uses - len(came)),
        "made_at": invite.made_at,
        "expires_at": invite.expires_at,
        "withdrawn": withdrawn is not None,
        "reason": "" if withdrawn is None else withdrawn.reason,
        "volunteers": names,
    }


def print_invites(rows: list[dict[str, Any]]) -> None:
    """Print the list as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(caption="" if rows else "No invite was made yet: paris-coord invite RUN")
    for column in ("invite", "left", "until", "came by it"):
        table.add_column(column)
    for row in rows:
        until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(row["expires_at"]))
        until = "over" if row["expires_at"] < time.time() else until
        because = f": {row['reason']}" if row["reason"] else ""
        end = f"withdrawn{because}" if row["withdrawn"] else until
        left = f"{row['uses_left']} of {row['uses']}"
        names = printable(", ".join(row["volunteers"]))
        table.add_row(row["invite_id"][:8], left, Text(printable(end)), Text(names))
    Console().print(table)
