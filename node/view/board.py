"""What a node's events add up to: its present state, for the live view and for `paris-node status`."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from paris.node.view.events import PROGRESS, EventKind, sentence
from paris.protocol.clock import Clock
from paris.protocol.secrets import redact

_NUM_LOSSES = 120

_STATES: dict[EventKind, str] = {
    EventKind.JOINED: "joined",
    EventKind.WAITING: "waiting",
    EventKind.LEASED: "fetching",
    EventKind.FETCHING: "fetching",
    EventKind.TRAINER_READY: "training",
    EventKind.TRAINING: "training",
    EventKind.PAUSED: "paused",
    EventKind.RESUMED: "resuming",
    EventKind.UPLOADING: "uploading",
    EventKind.UPLOADED: "uploading",
    EventKind.AWAITING_VERDICT: "awaiting-verdict",
    EventKind.VERDICT: "waiting",
    EventKind.LEASE_LOST: "waiting",
    EventKind.DONE: "ended",
}
"""The state that begins with an event."""
_FIELDS: dict[EventKind, tuple[str, ...]] = {
    EventKind.JOINED: ("run_id", "name", "hardware", "device", "credit_steps"),
    EventKind.LEASED: ("task_id", "attempt", "steps", "start_step", "end_step"),
    EventKind.LEG: ("start_step", "end_step"),
    EventKind.AUDITING: ("start_step", "end_step"),
    EventKind.TRAINER_READY: ("step", "steps"),
    EventKind.TRAINING: (
        "step",
        "steps",
        "loss",
        "steps_per_s",
        "eta_s",
        "heartbeat_at",
        "peers",
        "gpu_temperature_c",
        "gpu_power_w",
    ),
    EventKind.PAUSED: ("reason", "why", "until", "kept_until"),
}
"""Fields of an event that the state takes over."""


class NodeStatus(BaseModel):
    """The present state of a running node. Instants are UTC seconds; None is not known, or does not apply."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    state: str = "joining"
    """joining, joined, waiting, fetching, training, paused, resuming, uploading, awaiting-verdict or ended."""
    run_id: str = ""
    name: str = ""
    """The volunteer's."""
    hardware: str = ""
    device: str = ""
    task_id: str | None = None
    attempt: int | None = None
    step: int | None = None
    steps: int | None = None
    """Of the whole task."""
    start_step: int | None = None
    end_step: int | None = None
    """Of the leg."""
    loss: float | None = None
    losses: tuple[float, ...] = ()
    """The last reported ones, oldest first."""
    steps_per_s: float | None = None
    eta_s: float | None = None
    snapshot_step: int | None = None
    snapshot_at: float | None = None
    heartbeat_at: float | None = None
    reason: str | None = None
    """Why it is paused, as in heartbeats."""
    why: str | None = None
    """The same for people."""
    until: float | None = None
    """When the pause ends by itself."""
    kept_until: float | None = None
    """How long the task stays this node's while it makes no step."""
    upload_bytes: int | None = None
    """Of what is handed in."""
    upload_sent_bytes: int | None = None
    """How much of it has gone out."""
    upload_bytes_per_s: float | None = None
    peers: int | None = None
    """Of the run's DHT that this node knows."""
    gpu_temperature_c: float | None = None
    gpu_power_w: float | None = None
    credit_steps: int | None = None
    """Verified steps of this run."""
    last: str = ""
    """The last event in words."""

    @property
    def begin(self) -> int:
        """The first step of the leg, or of the task."""
        return self.start_step or 0

    @property
    def end(self) -> int | None:
        """The last step of the leg, or of the task; None without one."""
        return self.end_step or self.steps

    @property
    def is_leg(self) -> bool:
        """Whether the work is a stretch of the task."""
        return (self.begin, self.end) != (0, self.steps)

    @property
    def share(self) -> float | None:
        """How much of the leg, or of the task, is done, 0 to 1; None where no step is known."""
        if self.step is None or self.end is None:
            return None
        return (self.step - self.begin) / (self.end - self.begin) if self.end > self.begin else 1.0

    @property
    def upload_share(self) -> float | None:
        """How much of what is handed in has gone out, 0 to 1; None where that is not known."""
        if self.state != "uploading" or self.upload_sent_bytes is None or not self.upload_bytes:
            return None
        return min(1.0, self.upload_sent_bytes / self.upload_bytes)


class Board:
    """Takes events and keeps the state; safe to use from several threads.

    Args:
        clock: UTC seconds.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._status = NodeStatus()

    @property
    def status(self) -> NodeStatus:
        """The present state."""
        with self._lock:
            return self._status

    def note(self, kind: EventKind, fields: dict[str, Any]) -> None:
        """Take one event into account."""
        with self._lock:
            self._status = after(self._status, kind, fields, self._clock())


def after(status: NodeStatus, kind: EventKind, fields: dict[str, Any], now: float) -> NodeStatus:
    """The state after an event.

    Args:
        status: Before it.
        kind: The event.
        fields: As `View.event` takes them.
        now: UTC seconds.
    """
    changes: dict[str, Any] = {name: fields.get(name) for name in _FIELDS.get(kind, ())}
    if kind in _STATES:
        changes["state"] = _STATES[kind]
        if kind is not EventKind.PAUSED:
            changes |= dict.fromkeys(("reason", "why", "until", "kept_until"))
    if kind in (EventKind.LEASED, EventKind.VERDICT, EventKind.LEASE_LOST):
        changes = {**_NO_TASK, **changes}
    if kind is EventKind.TRAINING and fields["loss"] is not None and math.isfinite(fields["loss"]):
        changes["losses"] = (*status.losses, fields["loss"])[-_NUM_LOSSES:]
    if kind is EventKind.UPLOADING:
        changes |= {"upload_bytes": fields["num_bytes"], "upload_sent_bytes": None, "upload_bytes_per_s": None}
    if kind is EventKind.UPLOADED:
        changes |= {"upload_bytes": fields["num_bytes"], "upload_sent_bytes": fields["sent_bytes"]}
        changes["upload_bytes_per_s"] = fields["bytes_per_s"]
    if kind is EventKind.VERDICT and fields.get("accepted"):
        credited = fields.get("credit_steps")  # None: the verdict of a whole task
        changes["credit_steps"] = (status.credit_steps or 0) + (status.steps or 0 if credited is None else credited)
    if kind is EventKind.SNAPSHOT:
        changes |= {"snapshot_step": fields["step"], "snapshot_at": now}
    if fields.get("task_id") is not None and kind not in (EventKind.VERDICT, EventKind.LEASE_LOST):
        changes["task_id"] = fields["task_id"]
    if kind not in PROGRESS:
        changes["last"] = redact(sentence(kind, fields))
    return status.model_copy(update=changes)


_NO_TASK: dict[str, Any] = {
    name: NodeStatus.model_fields[name].default
    for name in (
        "task_id", "attempt", "step", "steps", "start_step", "end_step", "loss", "losses", "steps_per_s", "eta_s",
        "snapshot_step", "snapshot_at",
    )
}  # fmt: skip
