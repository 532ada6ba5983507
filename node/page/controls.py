"""From a form of the page to a request, as the control socket takes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from paris.node.control.messages import Command, Request
from paris.node.errors import SettingsError
from paris.node.manners.times import duration_s, next_time_of_day


class ControlForm(BaseModel):
    """The fields of a form."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    command: Command
    for_: str = Field("", alias="for", max_length=20)
    """Of a pause: how long, such as 2h."""
    until: str = Field("", max_length=5)
    """Of a pause: the time of day that ends it, such as 18:00."""


def request_of(form: ControlForm, now: float) -> Request:
    """The request that a form makes.

    Args:
        form: What was sent. A time of day counts before a duration.
        now: UTC seconds.

    Raises:
        SettingsError: Its time is none.
    """
    if form.command != "pause":
        if form.for_ or form.until:
            raise SettingsError(f"{form.command} has no time.", "Leave it out.")
        return Request(command=form.command)
    if form.until:
        return Request(command="pause", until=next_time_of_day(form.until, now))
    return Request(command="pause", until=now + duration_s(form.for_) if form.for_ else None)
