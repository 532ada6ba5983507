"""Rung 5: an honest leg ends where a replay ends, a cheat's does not; snapshots are asked for where they are needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi
from safetensors.torch import load, save
from verify_legs import EVERY, LEG, SHARD_ROWS, LegAttempt, TrainedLeg, head_record, sha256, train_leg, training_task
from verify_world import REPO, SHAPE, World

from paris.coordinator.verify import LegStart, Report, VerificationCase
from paris.coordinator.verify.ladder import verify
from paris.coordinator.verify.replay_rung import check_replay, drawn_stretches
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.experts.data.shards import Row, ShardFile, write_shard
from paris.experts.training.commitments import FILES, NO_COMMITMENT, commitment_of, read_state, scheduled_folder
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import Leg
from paris.experts.training.machine import MachineSettings
from paris.protocol.draws import Stretch, draw
from paris.protocol.envelope import open_envelope
from paris.protocol.hub_layout import SUBMITTED_AS, step_folder
from paris.protocol.records import Answer, Head, SubmittedFile

LIMITS = dict.fromkeys(FILES, 10**7)


@pytest.fixture(scope="module")
def first(world) -> TrainedLeg:
    return train_leg(world, 0, LEG)


def secret_for(leg: TrainedLeg, stretch: Stretch) -> str:
    """A secret by which a stretch of a leg is drawn."""
    start = leg.start.step if leg.start else 0
    steps = [link.step for link in leg.links]
    secrets = (f"{number:064x}" for number in range(1000))
    return next(s for s in secrets if draw(s, leg.end.commitment, steps, start, 1.0)[-1] == stretch)


def rung_of(report: Report):
    return next(rung for rung in report.rungs if rung.name == "replay")


def judge(case: VerificationCase) -> Report:
    return verify(case, lambda line: None)


def answer(attempt: LegAttempt, leg: TrainedLeg, step: int, pull_request: int) -> Answer:
    """Upload a snapshot to the leg's pull request, as a node does when it is challenged."""
    folder = scheduled_folder(leg.snapshots, step)
    contents = {
        f"{step_folder(step)}/{name}.safetensors": (folder / f"{name}.safetensors").read_bytes() for name in FILES
    }
    api = HfApi(endpoint=attempt.world.endpoint, token=f"volunteer-{attempt.volunteer.public_key[:24]}")
    made = api.create_commit(
        REPO,
        [CommitOperationAdd(f"{attempt.place}/{path}", data) for path, data in contents.items()],
        commit_message="Asked for",
        revision=f"refs/pr/{pull_request}",
    )
    files = tuple(SubmittedFile(path=path, sha256=sha256(data), bytes=len(data)) for path, data in contents.items())
    files = tuple(file.model_copy(update={"path": f"{attempt.place}/{file.path}"}) for file in files)
    lease = attempt.lease
    return Answer(lease_id=lease.lease_id, task_id=lease.task_id, attempt=1, commit=made.oid, files=files)


def test_the_first_stretch_of_a_training_is_replayed_without_a_question_and_has_equal_bits(world, first):
    report = LegAttempt.of(world, 0, first).judge(draw_secret="00" * 32, replay_rate=0.0)
    assert report.accepted, report.reason
    rung = rung_of(report)
    assert rung.remarks == ("steps 0 to 20: equal in every bit",)
    assert rung.headline.figure == 0.0
    assert not (report.local_path.parents[1] / "replay").exists(), "the replay's files are removed"


def test_a_stretch_between_snapshots_waits_for_the_volunteers_answer_and_rungs_1_to_4_are_not_climbed_again(
    world, first
):
    attempt = LegAttempt.of(world, 0, first)
    drawn = {"draw_secret": secret_for(first, Stretch(20, 40)), "replay_rate": 1.0}
    case = attempt.case(**drawn)
    asked = judge(case)
    assert (asked.accepted, asked.needs) == (False, (20,))
    assert [rung.name for rung in asked.rungs] == ["envelope", "structure", "novelty", "skill"]
    answered = answer(attempt, first, 20, asked.pull_request)
    case = case.model_copy(update={"answers": (answered,), "earlier": asked, "heldout": ()})
    report = judge(case)
    assert report.accepted, report.reason
    assert report.rungs[:4] == asked.rungs
    assert rung_of(report).remarks == ("steps 0 to 20: equal in every bit", "steps 20 to 40: equal in every bit")
    assert report.needs == ()
    assert (report.commit, report.sha256) == (asked.commit, asked.sha256)


def test_an_answer_moves_the_pull_request_and_the_signed_commit_is_judged_all_the_same(world, first):
    attempt = LegAttempt.of(world, 0, first)
    case = attempt.case(draw_secret=secret_for(first, Stretch(20, 40)), replay_rate=1.0)
    number = open_envelope(
        case.submission.encode(), run_id=world.run_id, coordinator=None, now=None
    ).payload.pull_request
    answered = answer(attempt, first, 20, number)
    report = judge(case.model_copy(update={"answers": (answered,)}))
    assert report.accepted, report.reason


def put_on_main(world: World, leg: TrainedLeg) -> Head:
    """What the coordinator does with a verified leg."""
    api = HfApi(endpoint=world.endpoint, token=world.admin_token)
    head, folder = head_record(leg.end), scheduled_folder(leg.snapshots, leg.end.step)
    contents = {file.path: (folder / file.path.rpartition("/")[2]).read_bytes() for file in head.files}
    made = api.create_commit(
        REPO, [CommitOperationAdd(path, data) for path, data in contents.items()], commit_message="A head"
    )
    files = tuple(file.model_copy(update={"bytes": len(contents[file.path])}) for file in head.files)
    return head.model_copy(update={"commit": made.oid, "files": files})


def test_a_leg_from_a_head_is_replayed_from_the_files_on_main(world, first):
    second = train_leg(world, 0, 2 * LEG, first)
    attempt = LegAttempt.of(world, 0, second)
    head = put_on_main(world, first)
    start = LegStart(commitment=head.commitment, head=head, shard_rows=SHARD_ROWS)
    secret = secret_for(second, Stretch(40, 60))
    report = attempt.judge(leg=start, draw_secret=secret, replay_rate=1.0)
    assert report.accepted, report.reason
    assert rung_of(report).remarks == ("steps 40 to 60: equal in every bit",)
    assert not LegAttempt.of(world, 0, second).judge(leg=start, draw_secret=secret, replay_rate=0.0).rungs[4:]


def damaged(state: Path, folder: Path) -> Path:
    shutil.copytree(state, folder)
    path = folder / "optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return folder


def test_an_answer_that_is_not_what_the_chain_committed_to_is_refused(world, first, tmp_path):
    attempt = LegAttempt.of(world, 0, first)
    case = attempt.case(draw_secret=secret_for(first, Stretch(20, 40)), replay_rate=1.0)
    asked = judge(case)
    other = replace(first, snapshots=tmp_path)
    damaged(scheduled_folder(first.snapshots, 20), scheduled_folder(tmp_path, 20))
    answered = answer(attempt, other, 20, asked.pull_request)
    report = judge(case.model_copy(update={"answers": (answered,), "earlier": asked}))
    assert not report.accepted
    assert report.reason.startswith("replay/snapshot: optimizer at step 20 has digest ")


def forged(world: World, states: dict[int, Path], folder: Path) -> TrainedLeg:
    """States of any origin under the chain of an honest task."""
    digest, before, links = training_task(world, 0).digest, NO_COMMITMENT, []
    for step, state in states.items():
        known = read_state(state)
        shutil.copytree(state, scheduled_folder(folder, step))
        files = {name: sha256((state / f"{name}.safetensors").read_bytes()) for name in FILES}
        commitment = commitment_of(before, digest, step, files)
        update = {"task": digest, "step": step, "files": files, "previous": before, "commitment": commitment}
        links.append(known.model_copy(update={**update, "commitment_step": step}))
        before = commitment
    return TrainedLeg(None, tuple(links), folder, digest)


def trained(world: World, folder: Path, shards: list[Path], machine: MachineSettings | None = None, **changes) -> Path:
    """The state after `EVERY` steps, or `until`, on any shards with any settings."""
    until = changes.pop("until", EVERY)
    task = training_task(world, 0)
    task = task.model_copy(update={"training": task.training.model_copy(update={"snapshot_every": until, **changes})})
    training = ExpertTraining(task, folder, shards.__getitem__, world.folder, machine, leg=Leg(until_step=until))
    training.run(lambda progress: None, lambda: False)
    return scheduled_folder(folder / "snapshots", until)


def rewritten(world: World, folder: Path, change: Callable[[list[Row]], list[Row]]) -> list[Path]:
    """The first cluster's shards with other rows."""
    made = []
    for index, path in enumerate(world.shards(0)):
        shard = ShardFile(path)
        rows = [
            Row(str(i), latent, caption, "drawn", "", "", "CC0-1.0", "by hand")
            for i, (latent, caption) in enumerate(zip(shard.latents, shard.captions, strict=True))
        ]
        made.append(folder / f"shard-{index}.parquet")
        write_shard(made[-1], change(rows), SHAPE, "uint8")
    return made


def renamed(rows: list[Row]) -> list[Row]:
    """All rows get the caption of another cluster."""
    return [replace(row, caption="a blue bar") for row in rows]


def poisoned(rows: list[Row]) -> list[Row]:
    """One row of twenty becomes white."""
    white = np.full(SHAPE, 255, np.uint8)
    return [replace(row, latent=white) if i % 20 == 0 else row for i, row in enumerate(rows)]


def with_noise(state: Path, start: dict[str, torch.Tensor]) -> Path:
    """The EMA weights get noise of a tenth of their way."""
    path = state / "ema.safetensors"
    tensors = load(path.read_bytes())
    generator = torch.Generator().manual_seed(0)
    for name, value in tensors.items():
        moved = (value - start[name]).norm() / value.numel() ** 0.5
        value += 0.1 * moved * torch.randn(value.shape, generator=generator)
    path.write_bytes(save(tensors))
    return state


def cheat(name: str, world: World, folder: Path) -> Path:
    """The state that a cheat claims for step 20."""
    own, work = world.shards(0), folder / "work"
    match name:
        case "a fifth of the batch":
            return trained(world, work, own, batch_size=3)
        case "half of the steps":
            return trained(world, work, own, until=EVERY // 2)
        case "another learning rate":
            return trained(world, work, own, learning_rate=3.3e-3)
        case "another cluster":
            return trained(world, work, world.shards(1))
        case "other captions":
            return trained(world, work, rewritten(world, folder, renamed))
        case "poison in 5 % of the rows":
            return trained(world, work, rewritten(world, folder, poisoned))
    return with_noise(trained(world, work, own), world.initial())


def replayed(world: World, leg: TrainedLeg, **changes) -> Checks:
    """What the rung says of the first stretch of a leg, whose files are at hand."""
    attempt = LegAttempt.of(world, 0, leg)
    case = attempt.case(draw_secret="00" * 32, replay_rate=0.0, **changes)
    for part, name in SUBMITTED_AS.items():
        case.file(name).parent.mkdir(parents=True, exist_ok=True)
        case.file(name).write_bytes(leg.file(part))
    chain, checks = leg.chain(), Checks()
    check_replay(case, case.leg, chain, drawn_stretches(case, chain), LIMITS, checks)
    return checks


@pytest.mark.parametrize(
    "name",
    [
        "a fifth of the batch",
        "half of the steps",
        "another learning rate",
        "another cluster",
        "other captions",
        "poison in 5 % of the rows",
        "noise",
    ],
)
def test_a_cheat_ends_elsewhere_than_the_replay(world, tmp_path, name):
    leg = forged(world, {EVERY: cheat(name, world, tmp_path)}, tmp_path / "claimed")
    with pytest.raises(CheckFailed) as failed:
        replayed(world, leg)
    check = failed.value.check
    assert check.name == "distance"
    assert check.figure > 2 * check.bound, "far from the bound"


def test_another_machines_rounding_is_accepted_and_noted(world, tmp_path):
    state = trained(world, tmp_path / "work", world.shards(0), MachineSettings(micro_batch_size=4))
    checks = replayed(world, forged(world, {EVERY: state}, tmp_path / "claimed"))
    assert checks.remarks == ["steps 0 to 20: equal within rounding, not in every bit"]
    figures = {check.name: check for check in checks.made}
    assert 0 < figures["distance"].figure < figures["distance"].bound / 20
    assert 0 < figures["moments"].figure < figures["moments"].bound / 20


def test_moments_that_would_carry_the_next_leg_away_are_refused(world, tmp_path):
    state = trained(world, tmp_path / "work", world.shards(0))
    path = state / "optimizer.safetensors"
    tensors = load(path.read_bytes())
    name = next(name for name in tensors if name.startswith("exp_avg.layers"))
    tensors[name] *= 10
    path.write_bytes(save(tensors))
    with pytest.raises(CheckFailed) as failed:
        replayed(world, forged(world, {EVERY: state}, tmp_path / "claimed"))
    assert failed.value.check.name == "moments"
