"""Rung 5 by volunteers: auditors' sketches pass work, and this machine judges the rest; what is asked for when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from attacks_on_legs import STATES, forged
from test_verify_replay import answer, judge, rung_of
from verify_legs import (
    EVERY,
    LEG,
    SHARD_ROWS,
    LegAttempt,
    TrainedLeg,
    put_on_main,
    secret_for,
    train_leg,
    training_task,
)
from verify_world import BOUNDS, World

from paris.coordinator.verify import AuditFound, LegStart, Report
from paris.experts.training.commitments import scheduled_folder
from paris.experts.training.replay import write_public_start
from paris.experts.training.sketch import keyed_digest, sketch_state
from paris.protocol.audits import PARTS, apart, packed
from paris.protocol.draws import Stretch

AUDITED = BOUNDS.model_copy(update={"audits": "volunteers"})
FIRST = {"draw_secret": "00" * 32, "replay_rate": 0.0, "audited": True, "bounds": AUDITED}


@dataclass
class Auditor:
    """Trains, or has copied, the end of the first stretch of a training."""

    world: World
    folder: Path
    leg: TrainedLeg

    def audit(self, number: int, step: int = EVERY, *, first: int | None = None, **changes) -> AuditFound:
        nonce, end = f"{number:064x}", scheduled_folder(self.leg.snapshots, step)
        start = self.folder / "public"
        write_public_start(training_task(self.world, 0), self.world.folder, start)
        return AuditFound(
            **{
                "lease_id": f"{number:032x}",
                "volunteer": f"{number:064x}",
                "name": f"auditor {number}",
                "start": step - EVERY if first is None else first,
                "end": step,
                "nonce": nonce,
                "commitment": next(link.commitment for link in self.leg.links if link.step == step),
                "digest": keyed_digest(end / "ema.safetensors", nonce),
                "sketch": packed(sketch_state(end, start, nonce)),
                **changes,
            }
        )


@pytest.fixture(scope="module")
def first(world) -> TrainedLeg:
    return train_leg(world, 0, LEG)


@pytest.fixture(scope="module")
def honest(world, first, tmp_path_factory) -> Auditor:
    return Auditor(world, tmp_path_factory.mktemp("auditor"), first)


@pytest.fixture(scope="module")
def cheat(world, tmp_path_factory) -> TrainedLeg:
    """A leg of one stretch, for which half of the steps were trained."""
    folder = tmp_path_factory.mktemp("cheat")
    _, state, _ = STATES["half of the steps"]
    return forged(world, {EVERY: state(world, folder / "work")}, folder / "claimed")


def judged(attempt: LegAttempt, *audits: AuditFound, **drawn) -> Report:
    """Judged as the service does it: first without an audit, then with them."""
    case = attempt.case(**{**FIRST, **drawn})
    return judge(case.model_copy(update={"earlier": judge(case), "audits": audits, "heldout": ()}))


def test_an_audit_is_asked_for_when_rungs_1_to_4_are_passed_and_this_machine_trains_nothing(world, first):
    report = judge(LegAttempt.of(world, 0, first).case(**FIRST))
    assert (report.accepted, report.needs, report.is_decided) == (False, (), False)
    need = report.audit
    assert (need.start_step, need.end_step, need.start) == (0, EVERY, None)
    assert [rung.name for rung in report.rungs] == ["envelope", "structure", "novelty", "skill"]


def test_the_end_of_a_stretch_in_mid_leg_is_asked_for_after_the_audit_and_decides_then(world, first, honest):
    attempt = LegAttempt.of(world, 0, first)
    case = attempt.case(**FIRST)
    audits = (honest.audit(1),)
    asked = judge(case.model_copy(update={"audits": audits}))
    assert asked.needs == (EVERY,), "its files are not on the Hub: nobody could copy them before"
    answered = answer(attempt, first, EVERY, asked.pull_request)
    update = {"audits": audits, "answers": (answered,), "earlier": asked, "heldout": ()}
    report = judge(case.model_copy(update=update))
    assert report.accepted, report.reason
    assert report.rungs[:4] == asked.rungs
    assert rung_of(report).headline.figure == 0.0
    assert rung_of(report).remarks == ("steps 0 to 20: audited, equal in every bit, by auditor 1 (00000000)",)
    (vote,) = report.votes
    assert (vote.lease_id, vote.agrees, vote.distance) == (audits[0].lease_id, True, 0.0)
    assert not (case.work_dir / "replay").exists()


def test_a_leg_from_a_head_is_audited_from_the_files_of_the_head(world, first, honest):
    second = train_leg(world, 0, 2 * LEG, first)
    attempt, head = LegAttempt.of(world, 0, second), put_on_main(world, first)
    start = LegStart(commitment=head.commitment, head=head, shard_rows=SHARD_ROWS)
    drawn = {"leg": start, "draw_secret": secret_for(second, Stretch(LEG, LEG + EVERY)), "replay_rate": 1.0}
    need = judge(attempt.case(**{**FIRST, **drawn})).audit
    assert (need.start_step, need.end_step) == (LEG, LEG + EVERY)
    assert (need.start.commit, need.start.commitment) == (head.commit, head.commitment)
    assert need.start.sha256 == tuple(file.sha256 for file in head.files)


def test_one_auditor_that_ended_elsewhere_is_no_proof_and_two_of_three_decide(world, first, cheat, honest, tmp_path):
    one_stretch = train_leg(world, 0, EVERY)
    attempt = LegAttempt.of(world, 0, one_stretch)
    liar = Auditor(world, tmp_path, cheat)
    report = judged(attempt, liar.audit(1))
    assert (report.audit.end_step, report.is_decided) == (EVERY, False)
    assert [vote.agrees for vote in report.votes] == [False]
    report = judged(attempt, liar.audit(1), honest.audit(2))
    assert (report.audit.end_step, report.is_decided) == (EVERY, False), "one against one"
    report = judged(attempt, liar.audit(1), honest.audit(2), honest.audit(3))
    assert report.accepted, report.reason
    assert [vote.agrees for vote in report.votes] == [False, True, True]
    assert report.baits == ()
    assert [vote.is_true for vote in report.votes] == [None] * 3


def test_auditors_refuse_no_honest_work_for_this_machine_trains_what_they_do_not_pass(world, cheat, honest, tmp_path):
    liar = Auditor(world, tmp_path, cheat)
    attempt = LegAttempt.of(world, 0, train_leg(world, 0, EVERY))
    report = judged(attempt, liar.audit(1), honest.audit(2), liar.audit(3))
    assert report.accepted, report.reason
    assert "steps 0 to 20: equal in every bit" in rung_of(report).remarks
    assert [vote.agrees for vote in report.votes] == [False, True, False]
    assert [vote.is_true for vote in report.votes] == [False, True, False]
    assert report.baits == ()


def test_a_cheat_is_refused_by_what_this_machine_reached_and_the_refusal_leaves_baits(world, cheat, honest):
    attempt = LegAttempt.of(world, 0, cheat)
    inventions = packed(dict.fromkeys(PARTS, [1.0] * 64))
    of_another = honest.audit(1).sketch
    audits = (honest.audit(1), honest.audit(2, sketch=inventions), honest.audit(3, sketch=of_another))
    report = judged(attempt, *audits)
    assert not report.accepted
    assert report.reason.startswith("replay/distance: distance from steps 0 to 20 trained again")
    assert rung_of(report).headline.figure > 0.1
    assert [vote.agrees for vote in report.votes] == [False] * 3
    assert [vote.is_true for vote in report.votes] == [True, False, False], "neither an invention nor a copied sketch"
    bait = report.baits[0]
    assert (bait.start_step, bait.end_step, bait.start) == (0, EVERY, None)
    assert len({bait.nonce for bait in report.baits}) == len(report.baits) == 8
    copied, trained = (
        sketch_state(scheduled_folder(leg.snapshots, EVERY), honest.folder / "public", bait.nonce)
        for leg in (cheat, honest.leg)
    )
    assert apart(bait.claim, copied) == apart(bait.right, trained) == (0.0, 0.0)
    assert max(apart(bait.claim, trained)) > 0.1
    assert max(apart(bait.right, copied)) > 0.1


def test_where_no_refusal_is_confirmed_two_auditors_refuse_and_leave_no_baits(world, cheat, honest):
    bounds = AUDITED.model_copy(update={"confirm_refusals": False})
    report = judged(LegAttempt.of(world, 0, cheat), honest.audit(1), honest.audit(2), bounds=bounds)
    assert report.reason.startswith("replay/distance: distance from steps 0 to 20 as audited by auditor 2")
    assert [vote.is_true for vote in report.votes] == [None, None]
    assert report.baits == ()


def test_who_copies_the_published_digest_and_invents_a_sketch_is_a_vote_against(world, first, honest):
    one_stretch = train_leg(world, 0, EVERY)
    lazy = honest.audit(1, digest="0" * 64, sketch=packed(dict.fromkeys(PARTS, [1.0] * 64)))
    report = judged(LegAttempt.of(world, 0, one_stretch), lazy)
    assert [vote.agrees for vote in report.votes] == [False]
    assert report.votes[0].note == "audited by a copy of the claim's digest"


def test_a_start_that_is_not_what_the_chain_says_is_refused_before_anybody_fetches_it(world, first, honest):
    attempt = LegAttempt.of(world, 0, first)
    drawn = {"draw_secret": secret_for(first, Stretch(20, 40)), "replay_rate": 1.0}
    case = attempt.case(**{**FIRST, **drawn}).model_copy(update={"audits": (honest.audit(1),)})
    asked = judge(case)
    answered = answer(attempt, first, 20, asked.pull_request)
    files = tuple(file.model_copy(update={"sha256": "0" * 64}) for file in answered.files)
    update = {"answers": (answered.model_copy(update={"files": files}),), "earlier": asked, "heldout": ()}
    report = judge(case.model_copy(update=update))
    assert report.audit is None
    assert report.reason.startswith("replay/snapshot: weights at step 20 is declared with digest 000000000000")


def rechecked(world: World, leg: TrainedLeg, end, *audits: AuditFound, **changes) -> Report:
    """A verified leg from step 0, trained again as a whole; its end is on a branch of its own."""
    case = LegAttempt.of(world, 0, leg).case(draw_secret="00" * 32, replay_rate=0.0)
    case.chain.parent.mkdir(parents=True, exist_ok=True)
    case.chain.write_bytes(leg.chain().to_bytes())
    update = {"recheck": True, "end": end, "heldout": (), "audits": audits, **changes}
    return judge(case.model_copy(update=update))


def test_a_verified_leg_is_trained_again_as_a_whole_here_or_by_a_volunteer(world, first, honest):
    end = put_on_main(world, first)
    report = rechecked(world, first, end)
    assert report.accepted, report.reason
    assert [rung.name for rung in report.rungs] == ["replay"]
    assert rung_of(report).remarks == (f"steps 0 to {LEG}: equal in every bit",)
    need = rechecked(world, first, end, audited=True, bounds=AUDITED).audit
    assert (need.start_step, need.end_step) == (0, LEG)
    audit = honest.audit(1, step=LEG, first=0)
    assert rechecked(world, first, end, audit, audited=True, bounds=AUDITED).accepted


def test_a_verified_cheat_is_refused_when_it_is_trained_again(world, cheat):
    report = rechecked(world, cheat, put_on_main(world, cheat))
    assert not report.accepted
    assert report.reason.startswith("replay/distance")
