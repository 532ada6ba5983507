"""Volunteers that join with an invite. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import StandingState
from paris.protocol.records import Invite


def admit(draft: Draft, key: str, invite: Invite | None, now: float) -> None:
    """Allow a volunteer, as `paris-coord allow` does and with `--undo` takes back, while the invite has uses left.

    A volunteer can show an invite once: what the organiser decides about it later is not undone by its next want.
    """
    volunteer = draft.volunteers[key]
    if invite is None or invite.invite_id in volunteer.invites:
        return
    draft.put_volunteer(volunteer.model_copy(update={"invites": (*volunteer.invites, invite.invite_id)}))
    reason = f"invite {invite.invite_id[:8]}"
    used = sum(standing.reason == reason for standing in draft.standings.values())
    if key in draft.standings:
        return
    if used >= invite.uses:
        draft.add_event(EventKind.ORDER, f"Volunteer {key[:8]} came with {reason}, which has no uses left.")
        return
    draft.put_standing(StandingState(public_key=key, standing="allowed", reason=reason, at=now))
    draft.add_event(EventKind.ORDER, f"Volunteer {key[:8]} is allowed: {reason}.")
