"""Volunteers that join with an invite. Pure, like `tick`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import StandingState, WithdrawnInvite
from paris.coordinator.state.orders import Order
from paris.protocol.run_records import Invite

_ID = re.compile(r"[0-9a-f]{32}")


def admit(draft: Draft, key: str, invite: Invite | None, now: float) -> None:
    """Allow a volunteer, as `paris-coord allow` does and with `--undo` takes back, while the invite has uses left.

    A volunteer can show an invite once: what the organiser decides about it later is not undone by its next want.
    """
    volunteer = draft.volunteers[key]
    if invite is None or invite.invite_id in volunteer.invites:
        return
    if invite.invite_id in draft.withdrawn_invites:
        return  # and count it as not shown: it may be restored while the volunteer waits
    draft.put_volunteer(volunteer.model_copy(update={"invites": (*volunteer.invites, invite.invite_id)}))
    if key in draft.standings:
        return
    reason = _reason(invite.invite_id)
    if len(let_in_by(draft.standings.values(), invite.invite_id)) >= invite.uses:
        draft.add_event(EventKind.ORDER, f"Volunteer {key[:8]} came with {reason}, which has no uses left.")
        return
    draft.put_standing(StandingState(public_key=key, standing="allowed", reason=reason, at=now))
    draft.add_event(EventKind.ORDER, f"Volunteer {key[:8]} is allowed: {reason}.")


def let_in_by(standings: Iterable[StandingState], invite_id: str) -> list[str]:
    """The keys that an invite let in, as far as the organiser decided nothing else about them."""
    came = (standing for standing in standings if standing.reason == _reason(invite_id))
    return [standing.public_key for standing in came if standing.standing == "allowed"]


def withdraw(draft: Draft, order: Order, now: float) -> None:
    """Let nobody else in by an invite; who came by it stays."""
    if _ID.fullmatch(order.subject) and order.subject not in draft.withdrawn_invites:
        draft.withdraw_invite(WithdrawnInvite(invite_id=order.subject, reason=order.reason, at=now))
        _tell(draft, order, "withdrawn")


def restore(draft: Draft, order: Order) -> None:
    """Let volunteers in by a withdrawn invite again."""
    if order.subject in draft.withdrawn_invites:
        draft.restore_invite(order.subject)
        _tell(draft, order, "no longer withdrawn")


def _tell(draft: Draft, order: Order, what: str) -> None:
    because = f": {order.reason}" if order.reason else ""
    draft.add_event(EventKind.ORDER, f"Invite {order.subject[:8]} is {what}{because}.")


def _reason(invite_id: str) -> str:
    return f"invite {invite_id[:8]}"
