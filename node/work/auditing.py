"""An audit: another volunteer's stretch is trained again, and a sketch of its end is published.

It goes through the stages of a leg, but nothing is uploaded:

uploading         submit          the sketch is made
awaiting-verdict  await_verdict   it is published until the coordinator has it
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from paris.experts.errors import CheckpointError
from paris.experts.training.commitments import scheduled_folder
from paris.node.errors import LeaseLostError, NothingToHandInError, TrainerError
from paris.node.machine.unit import Finished, Unit
from paris.node.swarm.coordinator_records import ended_lease
from paris.node.view import EventKind
from paris.node.work.order import make_order
from paris.node.work.unit_work import UnitWork
from paris.protocol.audit_order import AuditOrder
from paris.protocol.audits import AUDIT_PATIENCE_S, head_of, packed
from paris.protocol.run_records import Task
from paris.protocol.work_records import Audit, Lease

_logger = logging.getLogger(__name__)


def audited_task(task: Task, lease: Lease) -> Task:
    """A task as an audit trains it: from the state that the lease names, whatever the task's head is by now."""
    start = lease.audit.start if lease.audit else None
    return task.model_copy(update={"head": head_of(start, lease.start_step or 0) if start else None})


class AuditWork(UnitWork):
    """The stages of an audit; the arguments are those of `UnitWork`."""

    def hand_in(self, *, waits: bool) -> None:
        """There is nothing to hand in before the end.

        Raises:
            NothingToHandInError: Always.
        """
        raise NothingToHandInError(
            f"The work at hand is a short audit of {self.unit.task.task_id}.",
            "paris-node join goes on with it; paris-node leave gives it back.",
        )

    def submit(self) -> None:
        """From uploading to awaiting-verdict: make the sketch.

        Raises:
            TrainerError: The trained state cannot be sketched: it is damaged, or leads beyond all numbers.
        """
        self._report.heartbeat("uploading")
        unit, finished = self.unit, self.unit.finished
        if unit.lease.audit is None or finished is None:
            raise ValueError(f"{unit.label} is no audit that was trained.")
        try:
            found = self._audit(unit, unit.lease.audit, finished)
        except CheckpointError as error:
            raise TrainerError(f"The audit of {unit.task.task_id} cannot be sketched: {error.what}") from error
        self._advance("awaiting-verdict", audit=found)

    def await_verdict(self) -> None:
        """From awaiting-verdict to done.

        Raises:
            LeaseLostError: The coordinator took the lease back, or does not say that it has the audit.
            StoppedError: The volunteer stopped the node.
        """
        if self.unit.audit is None:
            self._advance("uploading")
            return
        session, lease = self._session, self.unit.lease
        session.announcer.publish(self.unit.audit)
        self._report.heartbeat("waiting-verdict")
        while (ended := ended_lease(session.ways.read("lease"), lease)) is None:
            if time.time() > lease.expires_at + AUDIT_PATIENCE_S:
                raise LeaseLostError("Nobody took the audit in time.", "The node waits for another task.")
            self._stop.pause(session.poll_s)
        session.announcer.withdraw("audit")
        if ended.state != "released":
            raise LeaseLostError(ended.reason or "The lease was taken back.", "The node waits for another task.")
        self._advance("done")
        self.folder.delete_big_files()
        self._report.event(EventKind.NOTE, text=f"The coordinator has the audit of {lease.task_id}. Thank you.")

    def _finish(self, finished: Finished) -> None:
        self._report.finished(finished)
        self._advance("uploading", finished=finished)

    def _audit(self, unit: Unit, order: AuditOrder, finished: Finished) -> Audit:
        from paris.experts.training.sketch import keyed_digest, sketch_state  # torch

        began = time.monotonic()
        end = scheduled_folder(self.folder.snapshots, finished.steps)
        sketch = sketch_state(end, self._start(unit), order.nonce)
        _logger.info("Sketched step %d in %.1f s.", finished.steps, time.monotonic() - began)
        lease = unit.lease
        return Audit(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            commitment=finished.commitment,
            digest=keyed_digest(end / "ema.safetensors", order.nonce),
            sketch=packed(sketch),
        )

    def _start(self, unit: Unit) -> Path:
        """Folder of the state at the start; that of the whole training is written there."""
        if unit.start_step > 0:
            return scheduled_folder(self.folder.snapshots, unit.start_step)
        from paris.experts.training.replay import write_public_start  # torch
        from paris.node.trainer.task import task_of

        order = make_order(self._session.spec, unit, self.folder, self._data.cache, self._machine)
        start = self.folder.work / "start"
        write_public_start(task_of(order.model_dump(mode="json")), Path(order.text_folder), start)
        return start
