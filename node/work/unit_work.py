"""One unit at work: what its stages share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from paris.node.errors import LeaseLostError, StoppedError, TransientHubError
from paris.node.fetching.background import BackgroundFetch
from paris.node.machine.unit import State, Unit, UnitFolder
from paris.node.retry import persist
from paris.node.swarm.coordinator_records import reason_to_stop
from paris.node.view import EventKind
from paris.node.work.node import Node
from paris.protocol.records import Heartbeat

T = TypeVar("T")


class UnitWork:
    """One unit on its way through its states.

    Args:
        node: The running agent.
        folder: The unit's folder.
        unit: As last saved.
    """

    def __init__(self, node: Node, folder: UnitFolder, unit: Unit) -> None:
        self.node, self.folder, self.unit = node, folder, unit
        self.fetch: BackgroundFetch | None = None
        """Shards on their way, while there are any."""
        self.progress: dict[str, Any] = {"step": 0}
        """What heartbeats say of the training."""
        self._next_look_at = 0.0
        done = unit.finished
        if done is not None:
            self.progress = {
                "step": done.steps,
                "loss": done.final_loss,
                "commitment": done.commitment,
                "commitment_step": done.steps,
            }

    def advance(self, state: State, **changes: Any) -> None:
        """Go to another state and save."""
        self.unit = self.folder.advance(self.unit, state, **changes)

    def give_up(self, reason: str) -> None:
        """Tell the coordinator that this task will not be done here, and remember why."""
        self.node.announcer.publish_once(self._heartbeat("failed"))
        self.advance("dropped", reason=reason)

    def beat(self, state: str) -> None:
        """Say what is being done; a new state is heard at once, mere progress at the next period."""
        self.node.announcer.publish(self._heartbeat(state), now=state != "training" or self.progress["step"] == 0)

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Show an event of this task."""
        self.node.view.event(kind, task_id=self.unit.task.task_id, **fields)

    def check(self) -> None:
        """Whether to go on: the volunteer, the fetch and the coordinator may each say no.

        Raises:
            StoppedError: The volunteer stopped the node.
            LeaseLostError: The coordinator took the lease back.
            ParisError: What ended the fetch.
        """
        if self.node.stop.is_set:
            raise StoppedError("Stopped.", "Run the same command again to go on.")
        if self.fetch is not None:
            self.fetch.raise_error()
        if time.monotonic() < self._next_look_at:
            return
        self._next_look_at = time.monotonic() + self.node.poll_s
        reason = reason_to_stop(self.node.swarm.read("lease"), self.unit.lease)
        if reason is not None:
            raise LeaseLostError(reason, "The node waits for another task.")

    def persist(self, action: Callable[[], T], *, is_upload: bool = False) -> T:
        """Do something on the Hub, through its passing troubles.

        Args:
            action: Safe to repeat.
            is_upload: Finished work is never given up: it is tried until it works.

        Raises:
            HubUnreachableError: Not an upload, and tried often enough.
            StoppedError: The volunteer stopped the node.
        """
        node = self.node
        return persist(
            action,
            pause=node.stop.pause,
            backoff=node.upload_backoff if is_upload else node.backoff,
            max_tries=None if is_upload else node.config.max_tries,
            on_wait=self._tell_trouble,
        )

    def close(self) -> None:
        """Stop what runs beside the stages."""
        self.node.announcer.withdraw("heartbeat")
        if self.fetch is not None:
            self.fetch.cancel()

    def _tell_trouble(self, error: TransientHubError, wait_s: float) -> None:
        self.event(EventKind.RETRYING, text=error.what, wait_s=wait_s)

    def _heartbeat(self, state: str) -> Heartbeat:
        lease = self.unit.lease
        names = {"lease_id": lease.lease_id, "task_id": lease.task_id, "attempt": lease.attempt}
        return Heartbeat.model_validate({**names, "state": state, **self.progress})
