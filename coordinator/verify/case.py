"""The input of a verification: one file that the coordinator writes and the child process reads.

CASE.json    VerificationCase, mode 0600: it contains the seed of the secret draws. The service passes the Hub token in
             the request and removes the file afterwards
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.coordinator.errors import ConfigError
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.curves import ReferenceCurve, ScoredPoint
from paris.coordinator.verify.report import Report
from paris.experts.files import write_whole
from paris.protocol.fields import PublicKey, Settings, Sha256, Sketch, TaskId
from paris.protocol.hub_layout import CHAIN_FILE, OPTIMIZER_FILE, TRAINED_FILE, WEIGHTS_FILE
from paris.protocol.run_records import Head, RunSpec, Task
from paris.protocol.work_records import Answer, Lease

REPLAY_FOLDER = "replay"
"""In a verification's folder: stretches that are trained again, until they are judged."""


class OtherCheckpoint(BaseModel):
    """A checkpoint of the run that was submitted before the one that is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task_id: TaskId
    cluster: Annotated[int, Field(ge=0)]
    sha256: Sha256
    volunteer: PublicKey
    path: Path | None = None
    """Its verified local file; None before it is downloaded: then only the digest is compared."""
    objective: Settings = {}
    """The training objective of its task; empty: flow matching."""
    registered: bool = False
    """Whether it is an expert of the run; only those serve as yardsticks of skill."""
    step: Annotated[int, Field(ge=1)] | None = None
    """The step that it was trained to; None: all steps of its task. A leg is compared with none that came farther."""
    model: Settings | None = None
    """Its model, where that is of another size than the submission's: its weights are then not compared, but its losses
    are. None: the same."""


class AuditFound(BaseModel):
    """What an auditor returned for a stretch of the leg."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lease_id: str
    """Of the auditor."""
    volunteer: PublicKey
    name: str
    start: Annotated[int, Field(ge=0)]
    """First and last step of the stretch."""
    end: Annotated[int, Field(ge=1)]
    nonce: Sha256
    commitment: Sha256
    digest: Sha256
    sketch: Sketch


class LegStart(BaseModel):
    """Where a leg starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    commitment: Sha256 | None = None
    """Of the state at the lease's first step; None: the initial weights."""
    head: Head | None = None
    """That state, while its branch is kept."""
    shard_rows: tuple[Annotated[int, Field(ge=1)], ...]
    """Rows of each shard of the manifest: with the run and the task they make the training task's digest."""


class VerificationCase(BaseModel):
    """One submission and everything that it is judged by."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_id: str
    coordinator: PublicKey
    """The run's public key."""
    run: RunSpec
    """With the model of the lease's size."""
    task: Task
    lease: Lease
    submission: str
    """The sealed Submission record, as text, exactly as received from the DHT or the Hub."""
    received_at: float
    """When the coordinator first saw the submission, UTC seconds by its own clock."""
    hub_endpoint: str
    token: str | None = Field(default=None, repr=False)
    work_dir: Path
    """The verified file stays there as `candidate/expert.safetensors`."""
    heldout: tuple[Path, ...]
    """Secret rows, one shard file for each cluster, in the order of the clusters."""
    shards: tuple[Path, ...] = ()
    """Published shards of the task's own cluster; without them the claimed loss is not checked."""
    text_folder: Path
    """The run's parts: text encoder, codec, initial weights."""
    others: tuple[OtherCheckpoint, ...] = ()
    """Only those received before this one: of two equal submissions the first is the original."""
    leg: LegStart | None = None
    """None: the lease is for a whole expert. The task's head may have moved beyond the leg's start."""
    curves: tuple[ReferenceCurve, ...] = ()
    """Trusted trainings, at most one a cluster; without them skill is compared with registered experts."""
    head: ScoredPoint | None = None
    """The scores of the state that the leg started from; None: the initial weights, or not known."""
    seed: Annotated[int, Field(ge=0, lt=2**63, repr=False)]
    """Secret: decides which rows, times and noises are drawn. The same for all submissions of a run, so that their
    scores can be compared; never published."""
    bounds: VerificationBounds = VerificationBounds()
    draw_secret: Sha256 | None = Field(default=None, repr=False)
    """Of the lease; decides which stretches are replayed. None: none are."""
    replay_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of that draw; None: no stretch is replayed."""
    answers: tuple[Answer, ...] = ()
    """Snapshots that the volunteer was asked for."""
    recheck: bool = False
    """It was verified before: the whole leg is trained again, and no other rung is climbed."""
    end: Head | None = None
    """Of a recheck: the state that the leg ended with, while its branch is kept."""
    audited: bool = False
    """Let other volunteers train the drawn stretches again, not this machine."""
    audits: tuple[AuditFound, ...] = ()
    """What they returned so far."""
    earlier: Report | None = None
    """What rungs 1 to 4 found before the volunteer was asked for snapshots, or others for audits."""
    device: str = "cpu"
    num_threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of the child; None leaves it to torch."""

    @property
    def candidate(self) -> Path:
        """Path of the submitted file, once its size and digest have been checked."""
        return self.file(WEIGHTS_FILE)

    def file(self, name: str) -> Path:
        """Path of one of the submission's files, once its size and digest have been checked.

        Args:
            name: Of `submitted_files`.
        """
        return self.work_dir / "candidate" / name

    @property
    def chain(self) -> Path:
        """Path of a leg's chain.json, once it has been checked. It stays when the candidate is deleted."""
        return self.work_dir / CHAIN_FILE

    def submitted_files(self, steps: int) -> tuple[str, ...]:
        """The files that a submission declares.

        Args:
            steps: That it reaches; a leg before the task's last step hands in the whole state.
        """
        if self.leg is None:
            return (WEIGHTS_FILE,)
        state = () if steps >= self.task.steps else (TRAINED_FILE, OPTIMIZER_FILE)
        return (CHAIN_FILE, WEIGHTS_FILE, *state)


class VerificationRequest(BaseModel):
    """One line to the child process: which case to verify."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    case: Path
    report: Path
    """Written if there is a verdict."""
    log: Path
    """Receives a sentence after each rung."""
    token: str | None = Field(default=None, repr=False)
    """Of the Hub; None takes the case's."""


class VerificationAnswer(BaseModel):
    """One line from the child process: how a request ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    exit_code: int
    """0: the report is written. Else the code of the error."""
    message: str = ""
    """What could not be done, in one line."""


def write_case(case: VerificationCase, path: Path) -> None:
    """Write a case for the child process, readable by its owner only."""
    write_whole(path, case.model_dump_json(indent=1).encode(), mode=0o600)


def read_case(path: Path) -> VerificationCase:
    """Read a case.

    Raises:
        ConfigError: The file is missing or malformed.
    """
    try:
        return VerificationCase.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        one_line = " ".join(str(error).split())[:300]
        raise ConfigError(f"{path} is not a verification case: {one_line}.") from error
