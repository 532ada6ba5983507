"""Rung 5: an honest leg ends where a replay ends, a cheat's does not; snapshots are asked for where they are needed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from attacks_on_legs import STATES, forged, trained, with_other_moments
from huggingface_hub import CommitOperationAdd, HfApi
from safetensors.torch import load_file, save_file
from verify_legs import (
    EVERY,
    LEG,
    SHARD_ROWS,
    LegAttempt,
    TrainedLeg,
    put_on_main,
    secret_for,
    sha256,
    train_leg,
)
from verify_world import REPO, World

from paris.coordinator.verify import LegStart, Report, VerificationCase, replay_rung
from paris.coordinator.verify.ladder import verify
from paris.coordinator.verify.replay_rung import check_replay, drawn_stretches
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.experts.training.commitments import FILES, scheduled_folder
from paris.experts.training.machine import MachineSettings
from paris.protocol.draws import Stretch
from paris.protocol.envelope import open_envelope
from paris.protocol.hub_layout import SUBMITTED_AS, step_folder
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Answer

LIMITS = dict.fromkeys(FILES, 10**7)


def test_a_recheck_passes_nothing_that_it_cannot_train_because_the_start_is_gone():
    """Else a leg from a state that the run forgot would stand without a training."""
    stretch, checks = Stretch(200, 400), Checks()
    states = SimpleNamespace(at_hand=lambda step: ())
    assert is_trained(False, states, stretch, checks) == (False, ["start"])
    assert is_trained(True, states, stretch, Checks()) == (True, [])


def is_trained(recheck: bool, states, stretch: Stretch, checks: Checks) -> tuple[bool, list[str]]:
    case = SimpleNamespace(lease=SimpleNamespace(start_step=stretch.start), recheck=recheck)
    return replay_rung._is_kept(case, states, stretch, checks), [check.name for check in checks.made]


@pytest.fixture(scope="module")
def first(world) -> TrainedLeg:
    return train_leg(world, 0, LEG)


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
    assert not (case.work_dir / "replay").exists(), "what was judged needs no disk"


def test_a_claimed_state_from_which_training_diverges_is_refused_as_the_volunteers_fault(world, first, tmp_path):
    huge = scheduled_folder(tmp_path / "huge", 20)
    shutil.copytree(scheduled_folder(first.snapshots, 20), huge)
    weights = {name: torch.full_like(value, 1e30) for name, value in load_file(huge / "weights.safetensors").items()}
    save_file(weights, huge / "weights.safetensors")
    leg = forged(world, {20: huge, 40: scheduled_folder(first.snapshots, 40)}, tmp_path / "claimed")
    attempt = LegAttempt.of(world, 0, leg)
    case = attempt.case(draw_secret="00" * 32, replay_rate=1.0)
    number = open_envelope(
        case.submission.encode(), run_id=world.run_id, coordinator=None, now=None
    ).payload.pull_request
    case = case.model_copy(update={"answers": (answer(attempt, leg, 20, number),)})
    with pytest.raises(CheckFailed, match=r"training cannot go on from the state at step 20: .* diverged"):
        check_replay(case, case.leg, leg.chain(), (Stretch(20, 40),), LIMITS, Checks())


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


@pytest.mark.parametrize("name", [name for name in STATES if name != "other moments"])
def test_a_cheat_ends_elsewhere_than_the_replay(world, tmp_path, name):
    _, state, _ = STATES[name]
    leg = forged(world, {EVERY: state(world, tmp_path / "work")}, tmp_path / "claimed")
    with pytest.raises(CheckFailed) as failed:
        replayed(world, leg)
    check = failed.value.check
    assert check.name == "distance"
    assert check.figure > 2 * check.bound, "far from the bound"


def test_another_machines_rounding_is_accepted_and_noted(world, tmp_path):
    state = trained(world, tmp_path / "work", machine=MachineSettings(micro_batch_size=4))
    checks = replayed(world, forged(world, {EVERY: state}, tmp_path / "claimed"))
    assert checks.remarks == ["steps 0 to 20: equal within rounding, not in every bit"]
    figures = {check.name: check for check in checks.made}
    assert 0 < figures["distance"].figure < figures["distance"].bound / 20
    assert 0 < figures["moments"].figure < figures["moments"].bound / 20


def test_moments_that_would_carry_the_next_leg_away_are_refused(world, tmp_path):
    state = with_other_moments(world, tmp_path / "work")
    with pytest.raises(CheckFailed) as failed:
        replayed(world, forged(world, {EVERY: state}, tmp_path / "claimed"))
    assert failed.value.check.name == "moments"
