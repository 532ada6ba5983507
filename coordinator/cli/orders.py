"""The organiser's hand on a running service: `ban`, `allow`, `revoke`, `unregister` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument, open_run
from paris.coordinator.console import print_json, say
from paris.coordinator.state.orders import WHOLE_RUN, OrderKind

VolunteerArgument = Annotated[
    str, typer.Argument(metavar="VOLUNTEER", help="Name, public key, or the beginning of the key.")
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="A task, as expert-3 or 3.")]
InviteArgument = Annotated[
    str, typer.Argument(metavar="INVITE", help="Its id or the beginning of it, as `invites` lists it.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the event log and the volunteer.")]
UndoOption = Annotated[bool, typer.Option("--undo", help="Take it back.")]


def ban(
    run: RunArgument,
    volunteer: VolunteerArgument,
    reason: ReasonOption = "",
    undo: UndoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a volunteer out: its lease is taken back, its waiting work rejected. Registered experts stay."""
    _order(run, OrderKind.UNBAN if undo else OrderKind.BAN, volunteer, reason, as_json)


def allow(
    run: RunArgument,
    volunteer: VolunteerArgument,
    reason: ReasonOption = "",
    undo: UndoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a volunteer take tasks of a run whose run.toml sets `[tasks] allowed_only = true`; also lifts a ban."""
    _order(run, OrderKind.DISALLOW if undo else OrderKind.ALLOW, volunteer, reason, as_json)


def withdraw_invite(
    run: RunArgument,
    invite: InviteArgument,
    reason: ReasonOption = "",
    undo: UndoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let nobody else in by an invite; who came by it stays allowed."""
    _order(run, OrderKind.RESTORE_INVITE if undo else OrderKind.WITHDRAW_INVITE, invite, reason, as_json)


def revoke(run: RunArgument, task: TaskArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Take back a task's leases; the task opens again."""
    _order(run, OrderKind.REVOKE, task, reason, as_json)


def unregister(
    run: RunArgument,
    task: TaskArgument,
    reason: ReasonOption = "",
    undo: UndoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a registered expert; the task opens again. --undo brings it back while the task has no other."""
    _order(run, OrderKind.REREGISTER if undo else OrderKind.UNREGISTER, task, reason, as_json)


def roll_back(
    run: RunArgument,
    task: TaskArgument,
    to: Annotated[int | None, typer.Option(help="Step of a kept state; 0 is the start.", min=0)] = None,
    reason: ReasonOption = "",
    undo: UndoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Withdraw an expert's legs after a step. --undo brings them back while no further one was verified."""
    if (to is None) != undo:
        from paris.coordinator.errors import ConfigError

        raise ConfigError("roll-back needs --to STEP, or --undo to take the last one back.", "Give one of the two.")
    kind = OrderKind.ROLL_FORWARD if undo else OrderKind.ROLL_BACK
    _order(run, kind, task, reason, as_json, to)


def recheck(run: RunArgument, task: TaskArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Train an expert's last verified leg again as a whole; the event log says whether it stands."""
    _order(run, OrderKind.RECHECK, task, reason, as_json)


def pause(run: RunArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Grant no further leases. Present leases go on, work is verified, until `unpause`."""
    _order(run, OrderKind.PAUSE, WHOLE_RUN, reason, as_json)


def unpause(run: RunArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Grant leases again."""
    _order(run, OrderKind.UNPAUSE, WHOLE_RUN, reason, as_json)


def _order(run: Path, kind: OrderKind, subject: str, reason: str, as_json: bool, step: int | None = None) -> None:
    from paris.coordinator.service.ordering import give_order

    order = give_order(open_run(run, log_name="orders"), kind, subject, reason, step)
    if as_json:
        given = {"order": order.kind, "subject": order.subject, "reason": order.reason}
        print_json(given if order.step is None else {**given, "step": order.step})
    else:
        say(f"Ordered: {order.kind} {order.subject}. `paris-coord serve {run}` carries it out at its next step.")
