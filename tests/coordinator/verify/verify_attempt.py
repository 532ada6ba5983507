"""Volunteers that submit to the small run of `verify_world`, honest or not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from huggingface_hub import CommitOperationAdd, HfApi
from verify_world import BOUNDS, NOW, NUM_CLUSTERS, REPO, STEPS, World

from paris.coordinator.verify import Report, VerificationCase
from paris.coordinator.verify.ladder import verify
from paris.protocol.envelope import seal
from paris.protocol.hub_layout import submission_folder
from paris.protocol.run_records import SubmittedFile, Task
from paris.protocol.signing import Identity
from paris.protocol.work_records import Lease, Submission


@dataclass
class Attempt:
    """One submission on its way to the ladder. Attackers change fields before `submit`."""

    world: World
    cluster: int
    volunteer: Identity
    lease: Lease
    task: Task
    weights: bytes
    final_loss: float
    commitment: str
    files: dict[str, bytes] = field(default_factory=dict)
    """More files of the pull request, by path in the repo."""
    facts: dict = field(default_factory=dict)
    """What the outer record says instead of the truth."""
    inner_facts: dict = field(default_factory=dict)
    signer: Identity | None = None
    inner_signer: Identity | None = None
    """Who signed the copy inside the pull request, if somebody else."""
    weights_on_hub: bytes | None = None
    served_instead: bytes | None = None
    """What the Hub sends for the weights, of the same length, though it announces their digest."""
    pushed_later: bytes | None = None
    """What is put over the weights after the commit was signed."""
    leave_out: tuple[str, ...] = ()
    record: str | None = None
    """The outer record as it is handed in, if not the honest one."""

    @classmethod
    def honest(cls, world: World, cluster: int, **lease_changes) -> Attempt:
        volunteer = Identity.generate()
        trained = world.train(cluster)
        lease = world.lease(cluster, volunteer, **lease_changes)
        return cls(
            world,
            cluster,
            volunteer,
            lease,
            world.task(cluster),
            trained.weights,
            trained.final_loss,
            trained.commitment,
        )

    @property
    def place(self) -> str:
        return submission_folder(f"expert-{self.cluster}", self.lease.attempt, self.volunteer.public_key)

    def submit(self, others=(), *, received_at: float = NOW, **case_changes) -> VerificationCase:
        """Make the pull request and the signed record; the case that the coordinator would write."""
        api = HfApi(endpoint=self.world.endpoint, token=f"volunteer-{self.volunteer.public_key[:24]}")
        payload = self._payload()
        inner = payload.model_copy(update=self.inner_facts)
        contents = {
            f"{self.place}/expert.safetensors": self.weights if self.weights_on_hub is None else self.weights_on_hub,
            f"{self.place}/submission.json": self._sealed(inner, 1, self.inner_signer).encode(),
            **self.files,
        }
        contents = {path: data for path, data in contents.items() if path not in self.leave_out}
        operations = [CommitOperationAdd(path, data) for path, data in contents.items()]
        made = api.create_commit(REPO, operations, commit_message="An expert", create_pr=True)
        if self.pushed_later is not None:
            over = CommitOperationAdd(f"{self.place}/expert.safetensors", self.pushed_later)
            api.create_commit(REPO, [over], commit_message="Better", revision=f"refs/pr/{made.pr_num}")
        if self.served_instead is not None:
            digest = hashlib.sha256(self.weights).hexdigest()
            (self.world.folder / "hub" / "blobs" / digest[:2] / digest).write_bytes(self.served_instead)
        outer = payload.model_copy(update={"pull_request": made.pr_num, "commit": made.oid, **self.facts})
        return self._case(self.record or self._sealed(outer, 2), others, received_at, case_changes)

    def case(self, others=(), **changes) -> VerificationCase:
        """As `submit`; legs add what belongs to them."""
        return self.submit(others, **changes)

    def judge(self, others=(), **kwargs) -> Report:
        """Submit, and climb the ladder."""
        return verify(self.submit(others, **kwargs), lambda line: None)

    def _payload(self) -> Submission:
        digest = hashlib.sha256(self.weights).hexdigest()
        file = SubmittedFile(path=f"{self.place}/expert.safetensors", sha256=digest, bytes=len(self.weights))
        return Submission(
            lease_id=self.lease.lease_id,
            task_id=self.task.task_id,
            attempt=self.lease.attempt,
            name="ada",
            repo=REPO,
            pull_request=None,
            commit=None,
            files=(file,),
            steps=STEPS,
            final_loss=self.final_loss,
            commitment=self.commitment,
        )

    def _sealed(self, payload: Submission, sequence: int, signer: Identity | None = None) -> str:
        signer = signer or self.signer or self.volunteer
        sealed = seal(
            payload, signer, run_id=self.world.run_id, sequence=sequence, issued_at=NOW - 10, expires_at=NOW + 9999
        )
        return sealed.data.decode()

    def _case(self, record: str, others, received_at: float, changes: dict) -> VerificationCase:
        world = self.world
        fields = {
            "run_id": world.run_id,
            "coordinator": world.run_key.public_key,
            "run": world.spec,
            "task": self.task,
            "lease": self.lease,
            "submission": record,
            "received_at": received_at,
            "hub_endpoint": world.endpoint,
            "token": world.admin_token,
            "work_dir": world.folder / "verify" / self.lease.lease_id,
            "heldout": tuple(world.folder / f"cluster-{k}" / "heldout.parquet" for k in range(NUM_CLUSTERS)),
            "shards": tuple(world.shards(self.cluster)),
            "text_folder": world.folder,
            "others": tuple(others),
            "seed": 99 + world.seed,
            "bounds": BOUNDS,
            "num_threads": 1,
        }
        return VerificationCase(**{**fields, **changes})


def with_weights(attempt: Attempt, weights: bytes, final_loss: float | None = None) -> Attempt:
    """The same attempt with other weights, rightly declared."""
    return replace(attempt, weights=weights, final_loss=attempt.final_loss if final_loss is None else final_loss)


def figures(report: Report) -> dict[str, list[float]]:
    """All figures of a report by "rung/check", in the order in which they were measured."""
    found: dict[str, list[float]] = {}
    for rung in report.rungs:
        for check in rung.checks:
            found.setdefault(f"{rung.name}/{check.name}", []).append(check.figure)
    return found
