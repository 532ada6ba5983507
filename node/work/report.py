"""What a unit tells: heartbeats to the coordinator, events to the volunteer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from paris.node.errors import TransientHubError
from paris.node.machine.unit import Finished, Unit
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Traffic
from paris.node.view import EventKind, View, duration_in_words
from paris.protocol.work_records import Heartbeat, PauseReason

_logger = logging.getLogger(__name__)


class UnitReport:
    """Heartbeats and events of one unit.

    Args:
        announcer: Publishes the heartbeats.
        view: Shows the events.
        unit: As last saved.
        vitals: Further fields of the event of training; see `vitals.py`.
    """

    def __init__(
        self, announcer: Announcer, view: View, unit: Unit, vitals: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self._announcer, self._view, self._vitals = announcer, view, vitals
        self._unit, self._lease, self._num_steps = unit, unit.lease, unit.task.steps
        self._progress: dict[str, Any] = {"step": unit.start_step}
        """Fields of a Heartbeat."""
        self._has_told_leg = not unit.is_leg
        self.snapshot_step = unit.start_step
        """Of the newest snapshot that the trainer reported."""
        self._told_state = ""
        self._handed_in_bytes = 0
        if unit.finished is not None:
            self.finished(unit.finished)
            self._progress |= {"commitment": unit.finished.commitment, "commitment_step": unit.finished.steps}

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Show an event of this task."""
        self._view.event(kind, task_id=self._lease.task_id, **fields)

    @property
    def step(self) -> int:
        """The newest step that was reported."""
        return int(self._progress["step"])

    def heartbeat(self, state: str, pause_reason: PauseReason | None = None) -> None:
        """Publish a heartbeat: a new state at once, progress of the training at the next period."""
        is_mere_progress = state == self._told_state == "training" and self.step > self._unit.start_step
        self._told_state = state
        self._announcer.publish(self._record(state, pause_reason), now=not is_mere_progress)

    def failed(self) -> bool:
        """Publish, once, that this task will not be done here; whether a peer stored it."""
        return self._announcer.publish_once(self._record("failed"))

    def close(self) -> None:
        """Withdraw the heartbeat."""
        self._announcer.withdraw("heartbeat")

    def finished(self, finished: Finished) -> None:
        """Take over the figures of the finished training."""
        self._progress |= {"step": finished.steps, "loss": finished.final_loss}
        self._handed_in_bytes = finished.num_bytes

    def sent(self, sent_bytes: int, bytes_per_s: float) -> None:
        """Show how much of what is handed in has gone out; called from the threads that send.

        Args:
            sent_bytes: Of all files.
            bytes_per_s: Of late.
        """
        num_bytes = self._handed_in_bytes
        figures = {"sent_bytes": min(sent_bytes, num_bytes), "num_bytes": num_bytes, "bytes_per_s": bytes_per_s}
        self.event(EventKind.UPLOADED, **figures)

    def retrying(self, error: TransientHubError, wait_s: float) -> None:
        """Show that a request to the Hub will be repeated."""
        _logger.info("Retrying in %.1f s: %s", wait_s, error.what)
        self.event(EventKind.RETRYING, text=error.what, wait_s=wait_s)

    def traffic(self, control_plane: Traffic, end: dict[str, Any]) -> None:
        """Show the control plane's bytes so far. The trainer's are 0 where it had no internet socket.

        Args:
            control_plane: Since the node started.
            end: The trainer's FINISHED event.
        """
        self.event(
            EventKind.TRAFFIC,
            control_plane_bytes=control_plane.bytes_sent + control_plane.bytes_received,
            trainer_bytes=0 if end["sockets"] == 0 else None,
            trainer_sockets=end["sockets"],
            trainer_refused=end["network_refused"],
        )

    def progress(self, event: dict[str, Any]) -> None:
        """Report the trainer's progress.

        Args:
            event: A progress event of the trainer (`paris.node.trainer.events`).
        """
        step, speed = event["step"], float(event["steps_per_s"])
        loss = event["loss"] if event["loss"] is not None and math.isfinite(event["loss"]) else None
        names = ("step", "steps_per_s", "commitment", "commitment_step")
        self._progress = {name: event[name] for name in names} | {"loss": loss}
        self.heartbeat("training")
        if event["note"]:
            self.event(EventKind.NOTE, text=event["note"])
        if speed == 0:  # the first report of a trainer comes before its first step
            self.event(EventKind.TRAINER_READY, step=step, steps=self._num_steps)
            return
        self._tell_leg(speed)
        self.event(
            EventKind.TRAINING,
            step=step,
            steps=self._num_steps,
            loss=loss,
            steps_per_s=speed,
            eta_s=(self._unit.end_step - step) / speed if speed > 0 else 0.0,
            heartbeat_at=self._announcer.last_accepted_at,
            heartbeat_age_s=self._announcer.since_accepted_s,
            **self._vitals(),
        )
        if event["commitment_step"] > self.snapshot_step:
            self.snapshot_step = event["commitment_step"]
            self.event(EventKind.SNAPSHOT, step=event["commitment_step"], commitment=event["commitment"])

    def _tell_leg(self, steps_per_s: float) -> None:
        """Say once, when the speed is known, how long the leg takes."""
        if self._has_told_leg:
            return
        self._has_told_leg, unit = True, self._unit
        leg_s = (unit.end_step - unit.start_step) / steps_per_s
        stretch = {"start_step": unit.start_step, "end_step": unit.end_step, "leg_s": leg_s}
        takes = duration_in_words(leg_s)
        if unit.lease.audit is None:
            self.event(EventKind.LEG, steps=self._num_steps, takes=takes, **stretch)
        else:
            self.event(EventKind.AUDITING, takes=takes, **stretch)

    def _record(self, state: str, pause_reason: PauseReason | None = None) -> Heartbeat:
        lease = self._lease
        ids = {"lease_id": lease.lease_id, "task_id": lease.task_id, "attempt": lease.attempt}
        return Heartbeat.model_validate({**ids, "state": state, "pause_reason": pause_reason, **self._progress})
