"""Training ahead: while a leg is uploaded and judged, its volunteer trains the next one.

    <unit>/ahead/snapshots/       from the leg's last snapshot on, as in <unit>/work
    <unit>/ahead/head/            that snapshot's files, until the trainer takes them over
    <unit>/ahead/micro_batch.json

No lease is needed for it: training is a function of the task and the step. When the leg is accepted, the coordinator
offers the next one to the same volunteer first, and the new unit takes the snapshots over. If the leg was refused, or
the next one starts from another volunteer's state, they are void and are deleted.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from paris.experts.errors import CheckpointError, SnapshotError
from paris.experts.files import link_or_copy
from paris.experts.training.commitments import FILES, read_state, scheduled_folder, step_of
from paris.node.control.wishes import Wishes
from paris.node.errors import StoppedError, disk_full_while
from paris.node.fetching.cache import Cache
from paris.node.machine.unit import Unit, UnitFolder
from paris.node.trainer.order import Order
from paris.node.trainer.supervisor import supervise
from paris.node.work.head import head_of
from paris.node.work.holding import PauseDue
from paris.protocol.errors import ParisError
from paris.protocol.sizes import needs_of
from paris.protocol.summary import Summary

_logger = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.5
_MICRO_BATCH = "micro_batch.json"


class AheadTraining:
    """A trainer in a thread, which goes on from the end of a leg.

    Args:
        order: What to train, from `order_ahead`.
        log: Receives the trainer's standard error.
        wishes: It waits through pauses, and ends when the node is to finish.
        at_work: What the machine does differently while the trainer works.
        on_end: Called from the thread when the training has ended; with the error that ended it early.
    """

    def __init__(
        self,
        order: Order,
        log: Path,
        wishes: Wishes,
        at_work: Callable[[], AbstractContextManager[None]],
        on_end: Callable[[ParisError | None], None],
    ) -> None:
        self._order, self._log, self._wishes = order, log, wishes
        self._at_work, self._on_end = at_work, on_end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def start(self) -> None:
        """Start the trainer."""
        self._thread.start()

    def stop(self) -> None:
        """Let the trainer save what it has, and wait until it has ended."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        error: ParisError | None = None
        try:
            while not self._train():
                pass
        except StoppedError:
            pass
        except ParisError as found:  # what was trained so far stays, and the finished leg is not touched by it
            _logger.info("Training ahead ended: %s", found)
            error = found
        self._on_end(error)

    def _train(self) -> bool:
        """Train up to the end, or the next pause; whether that was the end."""
        while self._wishes.why_paused() is not None:
            self._pause(_LOOK_EVERY_S)
        try:
            with self._at_work():
                supervise(self._order, self._log, on_event=_ignore, check=self._check, pause=self._pause)
        except PauseDue:
            return False
        return True

    def _check(self) -> None:
        self._pause(0.0)
        if self._wishes.why_paused() is not None:
            raise PauseDue

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds) or self._wishes.is_finishing:
            raise StoppedError("Stopped.")


def has_lanes(summary: Summary | None) -> bool:
    """Whether a run has lanes, whose next legs start from a mean of states that no volunteer has yet."""
    return summary is not None and summary.lanes > 1


def may_train_ahead(unit: Unit, folder: UnitFolder, cache: Cache) -> bool:
    """Whether a leg comes after a finished one, and this machine has its data, and its size's disk."""
    if not unit.is_leg or unit.lease.audit or unit.finished is None or unit.finished.steps >= unit.task.steps:
        return False
    has_data = bool(unit.shards) and all(cache.file(shard.sha256).is_file() for shard in unit.shards)
    needs = needs_of(unit.task, unit.lease.size)
    return has_data and needs is not None and shutil.disk_usage(folder.path).free >= needs.min_disk_bytes


def order_ahead(order: Order, unit: Unit, folder: UnitFolder, leg_steps: int) -> Order | None:
    """The order to train the leg after a finished one; makes its work folder.

    Args:
        order: Of the finished leg.
        unit: The finished leg.
        folder: Has its snapshots.
        leg_steps: Usual length of a leg.

    Returns:
        None where the leg's last snapshot is not whole any more.

    Raises:
        DiskFullError: No room for a copy of the leg's end, on a file system without hard links.
    """
    if unit.finished is None:
        return None
    end = unit.finished.steps
    source = scheduled_folder(folder.snapshots, end)
    if not _starts_at(source, unit.finished.commitment):
        return None
    state = read_state(source)
    if not scheduled_folder(folder.ahead / "snapshots", end).is_dir():
        with disk_full_while("training ahead", folder.path):
            for name in FILES:
                link_or_copy(source / f"{name}.safetensors", folder.ahead / "head" / f"{name}.safetensors")
            if (folder.work / _MICRO_BATCH).is_file():
                link_or_copy(folder.work / _MICRO_BATCH, folder.ahead / _MICRO_BATCH)
    head = state.model_dump(mode="json", include={"step", "previous", "commitment", "files"})
    leg = {"until_step": min(unit.task.steps, end + leg_steps), "head": {**head, "loss": state.loss or 0.0}}
    return order.model_copy(update={"work": str(folder.ahead.absolute()), "leg": leg})


def take_over(unit: Unit, folder: UnitFolder, ended: Iterable[UnitFolder]) -> int | None:
    """Move what was trained ahead into the unit for which it was.

    Args:
        unit: A leg, with its task's head.
        folder: Receives the snapshots.
        ended: Folders of the volunteer's units that ended.

    Returns:
        The newest step; None where nothing was trained ahead from the state that the unit starts with.
    """
    head = head_of(unit)
    if head is None or folder.snapshots.exists():
        return None
    for other in ended:
        found = other.ahead / "snapshots"
        if not _starts_at(scheduled_folder(found, head.step), head.commitment):
            continue
        for path in found.iterdir():
            if path.name.startswith(".") or step_of(path) > unit.end_step:  # half written, or of a later leg
                shutil.rmtree(path)
        if (other.ahead / _MICRO_BATCH).is_file():
            (other.ahead / _MICRO_BATCH).replace(folder.work / _MICRO_BATCH)
        found.replace(folder.snapshots)
        return max(map(step_of, folder.snapshots.iterdir()))
    return None


def _starts_at(path: Path, commitment: str) -> bool:
    try:
        return read_state(path).commitment == commitment
    except (CheckpointError, SnapshotError, OSError):
        return False


def _ignore(event: dict[str, Any]) -> None:
    """The trainer's progress is told when its steps are leased."""
