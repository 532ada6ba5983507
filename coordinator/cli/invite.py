"""`paris-coord invite`: a word of the organiser for volunteers to join by."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument, open_run
from paris.coordinator.console import print_json, say
from paris.protocol.limits import MAX_INVITE_USES

_MOST_DAYS = 90


def invite(
    run: RunArgument,
    uses: Annotated[int, typer.Option(min=1, max=MAX_INVITE_USES, help="How many volunteers it lets in.")] = 1,
    days: Annotated[float, typer.Option(min=0.01, max=_MOST_DAYS, help="How long it is valid.")] = 7.0,
    as_json: JsonOption = False,
) -> None:
    """Print an invite: who joins with it may take tasks also where run.toml sets `[tasks] allowed_only = true`."""
    from paris.protocol.invites import invite_text
    from paris.protocol.records import Invite
    from paris.protocol.sealer import Sealer

    opened = open_run(run, log_name="orders")
    record = Invite(invite_id=secrets.token_hex(16), uses=uses)
    envelope = Sealer(opened.identity, opened.run_id).seal(record, days * 86400)
    text = invite_text(envelope)
    if as_json:
        found = {"invite_id": record.invite_id, "uses": uses, "expires_at": envelope.expires_at, "invite": text}
        print_json(found)
    else:
        say(f"Invite {record.invite_id[:8]}, for {uses} volunteers, {days:g} days:")
        say(f"paris-node join {opened.run_id} --invite {text}")
