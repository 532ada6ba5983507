"""One leased task on disk: a state machine whose every step can be resumed after kill -9.

    leased -> fetching -> training -> uploading -> awaiting-verdict -> done
    (any of these) -> dropped            the lease was taken back, or this machine cannot do the task

    <task>-<attempt>/
        unit.json        this file's model; replaced whole, never edited
        lease.json       the lease as the coordinator sealed it, for the records that carry it
        work/            snapshots, and the finished expert.safetensors
        ahead/           of a leg: what was trained of the next one (`work/ahead.py`)
        chain.json       of a leg: the digests of its snapshots, as in the pull request
        submission.json  the signed record, as in the pull request
        trainer.log      what the trainer printed
        give-back-unreported   empty; there while the coordinator still has to hear that the lease was given up

A node that waits for a lease has no unit.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.experts.files import write_whole
from paris.node.errors import disk_full_while
from paris.node.machine.unit_formats import FORMAT, format_of, migrated
from paris.protocol.errors import NewerFileError, RecordError
from paris.protocol.hub_layout import SUBMISSION_FILE
from paris.protocol.leases import first_step, last_step
from paris.protocol.run_records import Shard, Task
from paris.protocol.version import UPGRADE
from paris.protocol.work_records import Audit, Lease, Submission, Verdict

State = Literal["leased", "fetching", "training", "uploading", "awaiting-verdict", "done", "dropped"]
FINAL: tuple[State, ...] = ("done", "dropped")
_NEXT: dict[State, tuple[State, ...]] = {
    "leased": ("fetching",),
    "fetching": ("training",),
    "training": ("uploading",),
    "uploading": ("awaiting-verdict",),
    "awaiting-verdict": ("done", "uploading"),
    "done": (),
    "dropped": (),
}


class FinishedFile(BaseModel):
    """A file of the submission, on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    """In the submission's folder."""
    path: str
    """Below the unit's folder."""
    sha256: str
    bytes: int


class Finished(BaseModel):
    """What the training, or a leg of it, ended with: figures and files of the submission."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int
    """Steps of the expert so far."""
    final_loss: float
    commitment: str
    files: tuple[FinishedFile, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes to upload."""
        return sum(file.bytes for file in self.files)


class Unit(BaseModel):
    """One leased task and its state. Frozen: `UnitFolder.advance` makes and saves the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[3] = FORMAT
    """A new field is a new format, and needs a migration of the older one in `unit_formats.py`."""
    run_id: str
    task: Task
    lease: Lease
    name: str = ""
    """The volunteer's, when the task was leased."""
    state: State = "leased"
    repo: str = ""
    revision: str = ""
    shards: tuple[Shard, ...] = ()
    finished: Finished | None = None
    submission: Submission | None = None
    verdict: Verdict | None = None
    audit: Audit | None = None
    """What an audit found."""
    reason: str = ""
    history: tuple[tuple[State, Annotated[float, Field(ge=0)]], ...] = ()
    """When each state was entered, UTC seconds."""

    @property
    def is_leg(self) -> bool:
        """Whether the lease is for a stretch of the task."""
        return self.lease.to_step is not None

    @property
    def start_step(self) -> int:
        """Steps of the expert that were done before this lease."""
        return first_step(self.lease)

    @property
    def end_step(self) -> int:
        """The last step of this lease."""
        return last_step(self.lease, self.task)

    @property
    def label(self) -> str:
        """Task and attempt, as in folder names and pull requests; audits are numbered by themselves."""
        return f"{place_of(self.lease)}-{self.lease.attempt}"


def place_of(lease: Lease) -> str:
    """What a unit is for, as in folder names: its task, or an audit of it."""
    return f"audit-{lease.task_id}" if lease.audit else lease.task_id


class UnitFolder:
    """The folder of one unit.

    Args:
        path: `runs/<run_id>/<task>-<attempt>` in the node's home; of an audit `audit-<task>-<number>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.log = path / "trainer.log"
        self.lease = path / "lease.json"
        self.submission = path / SUBMISSION_FILE
        self.snapshots = self.work / "snapshots"
        self.head = self.work / "head"
        """Where the trainer takes the state from that a leg starts with."""
        self.ahead = path / "ahead"
        self._unreported = path / "give-back-unreported"

    @property
    def is_unreported(self) -> bool:
        """Whether the lease was given up, and the coordinator has not taken it back yet."""
        return self._unreported.exists()

    def set_unreported(self, is_unreported: bool) -> None:
        """Remember over restarts whether the coordinator still has to be told that the lease was given up."""
        if is_unreported:
            with disk_full_while("giving a task back", self.path):
                self._unreported.touch()
        else:
            self._unreported.unlink(missing_ok=True)

    def load(self) -> Unit | None:
        """The saved unit, or None.

        Raises:
            RecordError: unit.json cannot be read; nothing was changed.
            NewerFileError: A newer version wrote it; nothing was changed.
        """
        path = self.path / "unit.json"
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            return Unit.model_validate_json(migrated(data))
        except (OSError, ValidationError) as error:
            if isinstance(error, ValidationError) and format_of(data) > FORMAT:
                raise NewerFileError(
                    f"{path} was written by a newer version of this software.",
                    f"{UPGRADE} The file is unchanged.",
                ) from error
            raise RecordError(
                f"{path} cannot be read: {str(error).splitlines()[0]}.",
                f"Move {self.path} away; the task will be leased again.",
            ) from error

    def save(self, unit: Unit) -> Unit:
        """Write unit.json; a crash leaves the old or the new one.

        Raises:
            DiskFullError: No room; the saved unit stays as it was.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        with disk_full_while("saving unit.json", self.path):
            write_whole(self.path / "unit.json", unit.model_dump_json(indent=1).encode("utf-8"))
        return unit

    def advance(self, unit: Unit, state: State, **changes: object) -> Unit:
        """Go to another state, change other fields, and save.

        Raises:
            ValueError: The state machine has no such transition; nothing was saved.
            DiskFullError: No room; the saved unit stays as it was.
        """
        allowed = state == unit.state or state in _NEXT[unit.state] or (state == "dropped" and unit.state not in FINAL)
        if not allowed:
            raise ValueError(f"A unit cannot go from {unit.state} to {state}.")
        history = unit.history if state == unit.state else (*unit.history, (state, time.time()))
        return self.save(unit.model_copy(update={**changes, "state": state, "history": history}))

    def delete_big_files(self, keep: Path | None = None) -> int:
        """Remove snapshots and weights; keep unit.json, submission.json and the log.

        Args:
            keep: The folder of a snapshot that stays, and with it what was trained ahead from there.

        Returns:
            Bytes freed.
        """
        freed = 0
        ahead = [] if keep is not None and keep.is_dir() else list(self.ahead.rglob("*"))
        for path in (*self.work.rglob("*"), *ahead):
            if path.is_file() and path.parent != keep:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        if keep is None or not keep.is_dir():
            shutil.rmtree(self.work, ignore_errors=True)
            shutil.rmtree(self.ahead, ignore_errors=True)
        return freed
