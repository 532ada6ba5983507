"""`paris-coord invite` and `invites`: words of the organiser for volunteers to join by."""

from __future__ import annotations

from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument, open_run
from paris.coordinator.console import print_json, say
from paris.protocol.counted import counted
from paris.protocol.limits import MAX_INVITE_USES

_MOST_DAYS = 90


def invite(
    run: RunArgument,
    uses: Annotated[int, typer.Option(min=1, max=MAX_INVITE_USES, help="How many volunteers it lets in.")] = 1,
    days: Annotated[float, typer.Option(min=0.01, max=_MOST_DAYS, help="How long it is valid.")] = 7.0,
    as_json: JsonOption = False,
) -> None:
    r"""Print an invite: who joins with it may take tasks also where run.toml sets `\[tasks] allowed_only = true`."""
    from paris.coordinator.report.invites import note_invite
    from paris.coordinator.state.invites import IssuedInvite
    from paris.protocol.invites import HeldInvite, new_invite
    from paris.protocol.sealer import Sealer

    opened = open_run(run, log_name="orders")
    record, seed = new_invite(uses)
    envelope = Sealer(opened.identity, opened.run_id).seal(record, days * 86400)
    note_invite(opened, IssuedInvite(record.invite_id, uses, envelope.issued_at, envelope.expires_at))
    text = HeldInvite(envelope, seed).text
    if as_json:
        found = {"invite_id": record.invite_id, "uses": uses, "expires_at": envelope.expires_at, "invite": text}
        print_json(found)
    else:
        say(f"Invite {record.invite_id[:8]}, for {counted(uses, 'volunteer')}, {days:g} days:")
        say(f"{opened.join_command} --invite {text}")


def invites(run: RunArgument, as_json: JsonOption = False) -> None:
    """List the invites that were made: who came by each, how many more it lets in, and until when."""
    from paris.coordinator.report.invites import print_invites, read_invites
    from paris.coordinator.run.directory import RunDir

    rows = read_invites(RunDir.open(run))
    if as_json:
        print_json({"invites": rows})
    else:
        print_invites(rows)
