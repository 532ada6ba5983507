"""Legs of the small run of `verify_world`: really trained, and handed in as a node does."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from verify_attempt import Attempt
from verify_world import MODEL, REPO, STEPS, TRAINING, World

from paris.coordinator.verify import LegStart, Report, VerificationCase
from paris.coordinator.verify.ladder import verify
from paris.experts.frozen.codec import CodecConfig
from paris.experts.training.commitments import NO_COMMITMENT, SnapshotState, read_state, scheduled_folder
from paris.experts.training.config import TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.draws import Stretch, draw
from paris.protocol.run_records import Head as HeadRecord
from paris.protocol.run_records import SubmittedFile
from paris.protocol.signing import Identity
from paris.protocol.work_records import Submission

EVERY = 20
LEG = 40
SHARD_ROWS = (40, 40)


@dataclass(frozen=True)
class TrainedLeg:
    """What a volunteer has at the end of a leg."""

    start: SnapshotState | None
    links: tuple[SnapshotState, ...]
    snapshots: Path
    task: str
    """Digest of the training task."""
    state: str = "exact"
    """Form of its states."""

    @property
    def end(self) -> SnapshotState:
        return self.links[-1]

    def file(self, name: str) -> bytes:
        return (scheduled_folder(self.snapshots, self.end.step) / f"{name}.safetensors").read_bytes()

    def chain(self) -> Chain:
        start = ChainStart(
            step=self.start.step if self.start else 0,
            commitment=self.start.commitment if self.start else NO_COMMITMENT,
        )
        links = tuple(Link(step=s.step, files=LinkFiles(**s.files), commitment=s.commitment) for s in self.links)
        return Chain(task=self.task, start=start, links=links)


def training_task(world: World, cluster: int, state: str = "exact") -> TrainingTask:
    return TrainingTask(
        run_id=world.run_id,
        seed=7 + world.seed,
        task_id=f"expert-{cluster}",
        model=MODEL,
        training=TRAINING.model_copy(update={"snapshot_every": EVERY, "state": state}),
        text=world.text,
        codec=CodecConfig(),
        shard_rows=SHARD_ROWS,
    )


def train_leg(
    world: World, cluster: int, until_step: int, before: TrainedLeg | None = None, state: str = "exact"
) -> TrainedLeg:
    """Train from the end of the leg before, or from the start, by the very code that a node runs."""
    task = training_task(world, cluster, state)
    work = Path(tempfile.mkdtemp(prefix="leg-", dir=world.folder))
    head = None
    if before is not None:
        shutil.copytree(scheduled_folder(before.snapshots, before.end.step), work / HEAD_FOLDER)
        fields = {"step", "loss", "previous", "commitment", "files"}
        head = Head.from_settings(before.end.model_dump(include=fields))
    leg = Leg(until_step=until_step, head=head)
    training = ExpertTraining(task, work, world.shards(cluster).__getitem__, world.folder, leg=leg)
    training.run(lambda progress: None, lambda: False)
    start = 0 if before is None else before.end.step
    steps = range(start + EVERY, until_step + 1, EVERY)
    links = tuple(read_state(scheduled_folder(work / "snapshots", step)) for step in steps)
    return TrainedLeg(before.end if before else None, links, work / "snapshots", task.digest, state)


@dataclass
class LegAttempt(Attempt):
    """A leg on its way to the ladder."""

    leg: TrainedLeg | None = None

    @classmethod
    def of(cls, world: World, cluster: int, leg: TrainedLeg, *, to_step: int | None = None) -> LegAttempt:
        volunteer, start = Identity.generate(), leg.start.step if leg.start else 0
        stretch = {"start_step": start, "to_step": to_step or min(STEPS, start + LEG), "draw_sha256": "0" * 64}
        made = cls(
            world,
            cluster,
            volunteer,
            world.lease(cluster, volunteer, **stretch),
            world.task(cluster, head=head_record(leg.start) if leg.start else None),
            leg.file("ema"),
            float(leg.end.loss),
            leg.end.commitment,
            leg=leg,
        )
        made.files = {f"{made.place}/chain.json": leg.chain().to_bytes()}
        if leg.end.step < STEPS:
            made.files |= {f"{made.place}/{name}.safetensors": leg.file(name) for name in ("weights", "optimizer")}
        return made

    def judge(self, others=(), **changes) -> Report:
        return verify(self.case(others, **changes), lambda line: None)

    def case(self, others=(), **changes) -> VerificationCase:
        """Hand the leg in; the case that the coordinator would write."""
        spec = self.world.spec
        training = {**spec.training, "snapshot_every": EVERY, "state": self.leg.state}
        run = spec.model_copy(update={"training": training, "leg_steps": LEG})
        start = LegStart(commitment=self.leg.start.commitment if self.leg.start else None, shard_rows=SHARD_ROWS)
        return self.submit(others, **{"run": run, "leg": start, **changes})

    def with_file(self, name: str, data: bytes) -> LegAttempt:
        """The same attempt with another file, rightly declared."""
        return replace(self, files={**self.files, f"{self.place}/{name}": data})

    def _payload(self) -> Submission:
        honest = super()._payload()
        declared = [
            SubmittedFile(path=path.removeprefix(f"{self.place}/"), sha256=sha256(data), bytes=len(data))
            for path, data in {f"{self.place}/expert.safetensors": self.weights, **self.files}.items()
        ]
        start = self.lease.start_step
        update = {"files": tuple(declared), "steps": self.leg.end.step, "start_step": start}
        return honest.model_copy(update=update)


def head_record(state: SnapshotState) -> HeadRecord:
    """The head of a task at a snapshot."""
    files = tuple(
        SubmittedFile(path=f"states/x/{name}.safetensors", sha256=sha, bytes=1) for name, sha in state.files.items()
    )
    return HeadRecord(
        step=state.step,
        loss=state.loss,
        previous=state.previous,
        commitment=state.commitment,
        commit="0" * 40,
        files=files,
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put_on_main(world: World, leg: TrainedLeg) -> HeadRecord:
    """What the coordinator does with a verified leg."""
    api = HfApi(endpoint=world.endpoint, token=world.admin_token)
    head, folder = head_record(leg.end), scheduled_folder(leg.snapshots, leg.end.step)
    contents = {file.path: (folder / file.path.rpartition("/")[2]).read_bytes() for file in head.files}
    made = api.create_commit(
        REPO, [CommitOperationAdd(path, data) for path, data in contents.items()], commit_message="A head"
    )
    files = tuple(file.model_copy(update={"bytes": len(contents[file.path])}) for file in head.files)
    return head.model_copy(update={"commit": made.oid, "files": files})


def secret_for(leg: TrainedLeg, stretch: Stretch) -> str:
    """A secret by which a stretch of a leg is drawn."""
    start = leg.start.step if leg.start else 0
    steps = [link.step for link in leg.links]
    secrets = (f"{number:064x}" for number in range(1000))
    return next(s for s in secrets if draw(s, leg.end.commitment, steps, start, 1.0)[-1] == stretch)
