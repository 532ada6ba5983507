"""Which steps a leg may claim, and its chain of commitments: computed again without a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from verify_world import BOUNDS, NOW, STEPS, World

from paris.coordinator.verify import LegStart, VerificationCase
from paris.coordinator.verify.leg_chain import Overtaken, check_chain, check_stretch, require_head
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.training_task import training_task
from paris.experts.training.commitments import NO_COMMITMENT, commitment_of
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.run_records import Head, SubmittedFile
from paris.protocol.signing import Identity
from paris.protocol.work_records import Lease, Submission

EVERY = 30
START = "5" * 64


@dataclass
class Leg:
    """A leg of task 0 from step 30 to 90, and what is handed in for it."""

    folder: Path
    steps: int = 90
    start_step: int | None = 30
    changes: dict = field(default_factory=dict)
    run_key: Identity = field(default_factory=Identity.generate)

    @property
    def case(self) -> VerificationCase:
        world = World(self.folder, "http://127.0.0.1:9", "token", self.run_key)
        spec = world.spec.model_copy(update={"training": {**world.spec.training, "snapshot_every": EVERY}})
        lease = Lease(
            lease_id="a" * 32, task_id="expert-0", attempt=1, volunteer="b" * 64, granted_at=NOW, expires_at=NOW + 9,
            start_step=30, to_step=90,
        )  # fmt: skip
        fields = {
            "run_id": world.run_id, "coordinator": world.run_key.public_key, "run": spec, "task": world.task(0),
            "lease": lease, "submission": "", "received_at": NOW, "hub_endpoint": "", "work_dir": self.folder,
            "heldout": (), "text_folder": self.folder, "seed": 1, "bounds": BOUNDS,
            "leg": LegStart(commitment=START, shard_rows=(40, 40)),
        }  # fmt: skip
        return VerificationCase(**{**fields, **self.changes})

    def chain(self, *steps: int, begin: tuple[int, str] = (30, START)) -> Chain:
        task, before, links = training_task(self.case, self.case.leg or LegStart(shard_rows=(40,))).digest, begin[1], []
        for step in steps:
            files = LinkFiles(weights=f"{step:064x}", ema=f"{step + 1:064x}", optimizer=f"{step + 2:064x}")
            before = commitment_of(before, task, step, files.model_dump())
            links.append(Link(step=step, files=files, commitment=before))
        return Chain(task=task, start=ChainStart(step=begin[0], commitment=begin[1]), links=tuple(links))

    def submission(self, *files: SubmittedFile, commitment: str = "c" * 64) -> Submission:
        files = files or (SubmittedFile(path="expert.safetensors", sha256="d" * 64, bytes=1),)
        return Submission(
            lease_id="a" * 32, task_id="expert-0", attempt=1, name="ada", repo="a/b", pull_request=None, commit=None,
            files=files, steps=self.steps, start_step=self.start_step, final_loss=1.0, commitment=commitment,
        )  # fmt: skip

    def judged(self, chain: Chain, *files: SubmittedFile, commitment: str | None = None) -> Chain:
        self.case.chain.write_bytes(chain.to_bytes())
        files = files or (SubmittedFile(path="expert.safetensors", sha256=chain.links[-1].files.ema, bytes=1),)
        submission = self.submission(*files, commitment=commitment or chain.links[-1].commitment)
        return check_chain(self.case, self.case.leg, submission, Checks())


@pytest.fixture
def leg(tmp_path) -> Leg:
    return Leg(tmp_path)


def head_of(step: int, commitment: str) -> Head:
    """A task's head; only its step and commitment matter here."""
    file = SubmittedFile(path="weights.safetensors", sha256="f" * 64, bytes=1)
    return Head(step=step, loss=1.0, previous=START, commitment=commitment, commit="a" * 40, files=(file,) * 3)


def failed(function, *arguments) -> tuple[str, float, float]:
    with pytest.raises(CheckFailed) as caught:
        function(*arguments)
    return caught.value.check.name, caught.value.check.figure, caught.value.check.bound


@pytest.mark.parametrize("steps", [60, 90])
def test_a_leg_ends_at_any_scheduled_snapshot_of_its_lease(leg, steps):
    leg.steps = steps
    checks = Checks()
    check_stretch(leg.case, leg.submission(), checks)
    assert [check.name for check in checks.made] == ["start-step", "steps", "steps", "scheduled"]


@pytest.mark.parametrize(
    ("steps", "start", "refusal"),
    [
        (60, 0, ("start-step", 1, 0)),
        (60, None, ("start-step", 1, 0)),
        (30, 30, ("steps", 30, 31)),
        (120, 30, ("steps", 120, 90)),
        (61, 30, ("scheduled", 1, 0)),
    ],
)
def test_other_steps_than_the_leases_are_refused(leg, steps, start, refusal):
    leg.steps, leg.start_step = steps, start
    assert failed(check_stretch, leg.case, leg.submission(), Checks()) == refusal


def test_the_last_step_of_the_task_is_a_snapshot_wherever_it_falls(leg):
    task = World(leg.folder, "", "").task(0, steps=85)
    leg.changes, leg.steps = {"task": task}, 85
    check_stretch(leg.case, leg.submission(), Checks())
    leg.steps = 84
    assert failed(check_stretch, leg.case, leg.submission(), Checks())[0] == "scheduled"


@pytest.mark.parametrize("missing", ["leg", "start_step", "to_step"])
def test_without_a_leg_all_steps_are_due_and_none_is_named_as_the_first(leg, missing):
    lease = leg.case.lease
    leg.changes = {"leg": None} if missing == "leg" else {"lease": lease.model_copy(update={missing: None})}
    leg.steps = STEPS
    assert failed(check_stretch, leg.case, leg.submission(), Checks()) == ("no-leg", 1, 0)
    leg.start_step = None
    check_stretch(leg.case, leg.submission(), Checks())
    leg.steps = STEPS - 1
    assert failed(check_stretch, leg.case, leg.submission(), Checks()) == ("steps", STEPS - 1, STEPS)


def test_a_chain_of_all_scheduled_snapshots_is_accepted(leg):
    chain = leg.chain(60, 90)
    assert leg.judged(chain) == chain
    leg.steps = 60
    assert leg.judged(leg.chain(60)).links[-1].step == 60


def test_a_leg_from_the_initial_weights_starts_without_a_commitment(leg):
    lease = leg.case.lease.model_copy(update={"start_step": 0})
    leg.changes = {"lease": lease, "leg": LegStart(shard_rows=(40, 40))}
    leg.judged(leg.chain(30, 60, 90, begin=(0, NO_COMMITMENT)))
    assert failed(leg.judged, leg.chain(30, 60, 90, begin=(0, START)))[0] == "chain-start"


def test_chains_that_leave_out_or_add_a_snapshot_or_start_elsewhere_are_refused(leg):
    assert failed(leg.judged, leg.chain(90)) == ("chain-steps", 2, 0)
    assert failed(leg.judged, leg.chain(60, 75, 90)) == ("chain-steps", 2, 0)
    assert failed(leg.judged, leg.chain(60)) == ("chain-steps", 1, 0)
    assert failed(leg.judged, leg.chain(60, 90, begin=(0, START)))[0] == "chain-start"
    assert failed(leg.judged, leg.chain(60, 90, begin=(30, "6" * 64)))[0] == "chain-start"
    other = leg.chain(60, 90).model_copy(update={"task": "7" * 64})
    assert failed(leg.judged, other)[0] == "chain-task"
    leg.case.chain.write_bytes(b"{}")
    assert failed(check_chain, leg.case, leg.case.leg, leg.submission(), Checks())[0] == "chain"


def test_a_link_that_does_not_follow_and_an_end_that_was_not_signed_are_refused(leg):
    chain = leg.chain(60, 90)
    first = chain.links[0].model_copy(update={"commitment": "8" * 64})
    broken = chain.model_copy(update={"links": (first, chain.links[1])})
    assert failed(leg.judged, broken) == ("chain-links", 2, 0)
    with pytest.raises(CheckFailed) as caught:
        leg.judged(chain, commitment="9" * 64)
    assert caught.value.check.name == "chain-end"


def test_the_submitted_files_are_those_of_the_last_link(leg):
    chain = leg.chain(60, 90)
    files = chain.links[-1].files
    right = SubmittedFile(path="a/b/expert.safetensors", sha256=files.ema, bytes=1)
    leg.judged(chain, right)
    wrong = right.model_copy(update={"sha256": files.weights})
    assert failed(leg.judged, chain, wrong) == ("chain-files", 1, 0)
    assert failed(leg.judged, chain, wrong.model_copy(update={"path": "expert.safetensors"}))[0] == "chain-files"


@pytest.mark.parametrize(("head", "passes"), [(None, True), (30, True), (60, True), (61, False), (90, True)])
def test_a_leg_that_was_overtaken_passes_through_the_verified_state_or_is_not_needed(leg, head, passes):
    chain = leg.chain(60, 90)
    commitments = {link.step: link.commitment for link in chain.links}
    if head is not None:
        state = head_of(head, commitments.get(head, "e" * 64))
        leg.changes = {"task": leg.case.task.model_copy(update={"head": state})}
    if passes:
        require_head(leg.case, chain)
    else:
        with pytest.raises(Overtaken, match=f"up to step {head} meanwhile"):
            require_head(leg.case, chain)


@pytest.mark.parametrize("step", [60, 90])
def test_a_leg_through_another_state_of_that_step_is_not_needed(leg, step):
    state = head_of(step, "e" * 64)
    leg.changes = {"task": leg.case.task.model_copy(update={"head": state})}
    with pytest.raises(Overtaken):
        require_head(leg.case, leg.chain(60, 90))
