"""The organiser's orders as forms: what each does, what it is about, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.database import StateLocation
from paris.coordinator.service.ordering import leave_order
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.store import Store


@dataclass(frozen=True)
class OrderForm:
    """One kind of order."""

    kind: OrderKind
    title: str
    what: str
    """What it does, one or two sentences."""
    about: Literal["volunteer", "task", "run"]
    asks_step: bool = False


FORMS = {
    form.kind: form
    for form in (
        OrderForm(
            OrderKind.PAUSE,
            "Pause the run",
            "No further lease is granted. Volunteers that train go on, and their work is verified.",
            "run",
        ),
        OrderForm(OrderKind.UNPAUSE, "Unpause the run", "Leases are granted again.", "run"),
        OrderForm(
            OrderKind.BAN,
            "Ban a volunteer",
            "It gets no further lease. Its lease is taken back, its waiting work rejected. Registered experts stay.",
            "volunteer",
        ),
        OrderForm(OrderKind.UNBAN, "Lift a ban", "The volunteer may get leases again.", "volunteer"),
        OrderForm(OrderKind.REVOKE, "Take a lease back", "The task opens again, for the next in line.", "task"),
        OrderForm(
            OrderKind.UNREGISTER,
            "Withdraw an expert",
            "The task opens again where its last verified leg began, or at its start in a run without legs. To open it "
            "at an earlier step, roll it back too. The expert can come back while the task has no other.",
            "task",
        ),
        OrderForm(
            OrderKind.REREGISTER,
            "Bring an expert back",
            "The expert that was withdrawn last is registered again.",
            "task",
        ),
        OrderForm(
            OrderKind.ROLL_BACK,
            "Roll back",
            "The legs after a step are withdrawn, and training goes on from there.",
            "task",
            asks_step=True,
        ),
        OrderForm(
            OrderKind.RECHECK,
            "Train the last leg again",
            "The last verified leg is trained again as a whole, on this machine or by auditors. The event log says "
            "whether it stands.",
            "task",
        ),
        OrderForm(OrderKind.ROLL_FORWARD, "Undo a roll-back", "The legs that were withdrawn come back.", "task"),
        OrderForm(
            OrderKind.RELEASE,
            "Release the model",
            "The registered experts and the router become one model. It is loaded as a test, draws the pictures of its "
            "card, and is uploaded under a tag of its own. The board shows how far it is.",
            "run",
        ),
    )
}


class OrderFields(BaseModel):
    """What the form sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: OrderKind
    subject: str = Field(default=WHOLE_RUN, max_length=64)
    reason: str = Field(default="", max_length=200)
    step: int | None = Field(default=None, ge=0)
    token: str = Field(default="", max_length=200, repr=False)


def give(location: StateLocation, fields: OrderFields) -> Order:
    """Leave an order for the service, as the commands do.

    Raises:
        NotReadyError: There is no state, or it allows no such order; nothing is ordered.
        ConfigError: The subject names nothing; nothing is ordered.
    """
    if isinstance(location, Path) and not location.is_file():
        raise NotReadyError("The run has no state yet.", "Open its tasks: paris-coord publish-tasks RUN")
    store = Store(location)
    try:
        return leave_order(store, fields.kind, fields.subject, fields.reason, fields.step)
    finally:
        store.close()
