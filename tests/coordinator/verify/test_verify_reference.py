"""Submissions against a reference: too little work is refused whoever else is there, honest work of any seed passes."""

from __future__ import annotations

import hashlib

import pytest
from reference_curves import EVERY, case_of, curves_of, skill
from verify_attempt import Attempt, with_weights
from verify_world import BOUNDS, STEPS

from paris.coordinator.run.config import WARM_START_BOUNDS
from paris.coordinator.verify.curves import ReferenceCurve

WARM = BOUNDS.model_copy(update=WARM_START_BOUNDS)


@pytest.fixture(scope="module")
def curves(world):
    """Of two of the three clusters."""
    return curves_of(world, [0, 1])


@pytest.fixture(scope="module")
def warm(world):
    return world.warm(STEPS // 5)


@pytest.fixture(scope="module")
def warm_curves(warm):
    return curves_of(warm, [0])


def registered_cheats(world, clusters, steps):
    """Experts of other clusters that were stopped early, and accepted all the same."""
    for cluster in clusters:
        weights = world.train(cluster, steps=steps).weights
        path = world.folder / f"cheat-{cluster}-{steps}.safetensors"
        path.write_bytes(weights)
        digest = hashlib.sha256(weights).hexdigest()
        yield world.other(cluster).model_copy(update={"path": path, "sha256": digest})


def test_honest_work_passes_with_room_to_every_bound(world, curves):
    report = Attempt.honest(world, 0).judge(curves=curves)
    assert report.accepted, report.reason
    checks = {check.name: check for check in report.rungs[-1].checks}
    assert checks["gain-of-reference"].figure > checks["gain-of-reference"].bound + 0.02
    assert checks["identity-of-reference"].figure > 1.5 * checks["identity-of-reference"].bound
    assert checks["claim-of-reference"].figure < 1.1
    assert checks["claimed-loss"].figure < 1.15
    assert report.scores.step == STEPS
    assert {k: len(rows) for k, rows in report.scores.heldout.items()} == {0: 32, 1: 32, 2: 32}


@pytest.mark.parametrize("steps", [STEPS // 20, STEPS // 2])
def test_too_few_steps_are_refused_without_anybody_else_in_the_run(world, curves, steps):
    trained = world.train(0, steps=steps)
    case, claim = case_of(world, 0), (trained.final_loss, STEPS)
    assert skill(case, world, trained.weights, claim)[0] == ""
    with_reference = case.model_copy(update={"curves": curves})
    assert skill(with_reference, world, trained.weights, claim)[0] == "gain-of-reference"


def test_cheats_in_a_row_do_not_lower_the_bar_for_each_other(world, curves):
    cheats, trained = list(registered_cheats(world, (1, 2), EVERY)), world.train(0, steps=EVERY)
    lazy = with_weights(Attempt.honest(world, 0), trained.weights, trained.final_loss)
    assert lazy.judge(cheats).accepted
    lazy.facts = lazy.inner_facts = {"steps": 2 * STEPS}  # more than asked for is no way out
    assert lazy.judge(cheats, curves=curves).reason.startswith("skill/gain-of-reference: ")
    assert Attempt.honest(world, 0).judge(cheats, curves=curves).accepted


def test_a_cluster_without_a_curve_is_held_to_a_share_of_the_lowest_of_the_others(world, curves):
    case = case_of(world, 0, curves=curves[1:])
    honest, lazy = world.train(0), world.train(0, steps=STEPS // 20)
    passed, figures, _ = skill(case, world, honest.weights, (honest.final_loss, STEPS))
    assert passed == ""
    assert "gain-of-references" in figures
    assert skill(case, world, lazy.weights, (lazy.final_loss, STEPS))[0] == "gain-of-references"


def test_where_the_references_of_two_clusters_are_one_an_honest_expert_passes(world, curves):
    """As those of pullovers and shirts nearly are."""
    twin = curves[0].model_copy(update={"cluster": 1})
    honest, case = world.train(0), case_of(world, 0, curves=(curves[0], twin))
    passed, _, checks = skill(case, world, honest.weights, (honest.final_loss, STEPS))
    assert passed == ""
    assert "clusters 0 and 1 are one to the reference: not told apart" in checks.remarks


def test_an_expert_of_another_cluster_is_refused_before_anybody_is_registered(world, curves):
    wrong = world.train(1, as_task=0)
    case, claim = case_of(world, 0, shards=()), (wrong.final_loss, STEPS)
    assert skill(case, world, wrong.weights, claim)[0] == ""
    case = case.model_copy(update={"curves": curves})
    assert skill(case, world, wrong.weights, claim)[0] == "gain-of-reference"
    # Also where gain tells nothing, because the own cluster is so easy that a few steps suffice.
    loose = case.model_copy(update={"bounds": BOUNDS.model_copy(update={"min_reference_share": 0.01})})
    assert skill(loose, world, wrong.weights, claim)[0] == "identity-of-reference"


@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_a_claimed_loss_is_held_to_the_references_either_way(world, curves, factor):
    honest = world.train(0)
    case = case_of(world, 0, curves=curves, shards=())
    refused, *_ = skill(case, world, honest.weights, (factor * honest.final_loss, STEPS))
    assert refused == "claim-of-reference"


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_claimed_loss_is_held_to_the_own_weights_either_way(world, factor):
    honest = world.train(0)
    refused, *_ = skill(case_of(world, 0), world, honest.weights, (factor * honest.final_loss, STEPS))
    assert refused == "claimed-loss"


@pytest.mark.parametrize(("step", "too_few"), [(EVERY, EVERY // 4), (STEPS // 2, EVERY)])
def test_a_leg_is_held_to_the_reference_at_the_step_where_it_ends(world, curves, step, too_few):
    case = case_of(world, 0, curves=curves)
    honest, lazy = world.train(0, steps=step), world.train(0, steps=too_few)
    passed, figures, checks = skill(case, world, honest.weights, (honest.final_loss, step))
    assert passed == "", checks.made[-1].sentence()
    assert "gain-of-reference" in figures
    assert skill(case, world, lazy.weights, (honest.final_loss, step))[0] == "gain-of-reference"


def test_a_claim_is_held_to_a_reference_at_its_own_step_alone(world, curves):
    """Audited work may have been scored long before the submission's step and after it."""
    honest, points = world.train(0, steps=STEPS // 2), (curves[0].points[0], curves[0].points[-1])
    strict = BOUNDS.model_copy(update={"max_reference_claim_ratio": 1.1})
    case = case_of(world, 0, curves=(curves[0].model_copy(update={"points": points}),), bounds=strict)
    assert points[0].training_loss > 1.1 * honest.final_loss
    passed, figures, checks = skill(case, world, honest.weights, (honest.final_loss, STEPS // 2))
    assert passed == "", checks.made[-1].sentence()
    assert "gain-of-reference" in figures
    assert "claim-of-reference" not in figures


def test_a_leg_that_ends_worse_than_it_began_is_refused(world, curves):
    began = curves[0].points[2]
    worse, better = world.train(0, steps=EVERY), world.train(0)
    case = case_of(world, 0, head=began)
    assert skill(case, world, worse.weights, (worse.final_loss, STEPS))[0] == "worse-than-head"
    assert skill(case, world, better.weights, (better.final_loss, STEPS))[0] == ""


def test_a_leg_that_learned_by_heart_is_no_fault(world, curves):
    honest = world.train(0)
    began = curves[0].points[2]
    better_then = began.heldout | {0: tuple(loss / 2 for loss in began.heldout[0])}
    case = case_of(world, 0, head=began.model_copy(update={"heldout": better_then}))
    assert honest.final_loss < began.training_loss
    assert skill(case, world, honest.weights, (honest.final_loss, STEPS))[0] == ""
    higher = began.model_copy(update={"heldout": better_then, "training_loss": honest.final_loss / 2})
    case = case_of(world, 0, head=higher)
    assert skill(case, world, honest.weights, (honest.final_loss, STEPS))[0] == "worse-than-head"


def test_after_a_common_start_honest_work_passes_and_half_of_it_does_not(warm, warm_curves):
    case = case_of(warm, 0, curves=warm_curves, bounds=WARM)
    honest, lazy = warm.train(0), warm.train(0, steps=STEPS // 2)
    assert skill(case, warm, honest.weights, (honest.final_loss, STEPS))[0] == ""
    assert skill(case, warm, lazy.weights, (lazy.final_loss, STEPS))[0] == "gain-of-reference"


def test_a_curve_of_other_rows_or_of_another_objective_is_not_used(world, curves):
    honest = world.train(0)
    fewer = BOUNDS.model_copy(update={"heldout_rows": 16})
    noise = ReferenceCurve(cluster=0, objective={"kind": "epsilon", "schedule": "cosine"}, points=curves[0].points)
    for changes in ({"curves": curves[:1], "bounds": fewer}, {"curves": (noise,)}):
        passed, figures, checks = skill(case_of(world, 0, **changes), world, honest.weights, (honest.final_loss, STEPS))
        assert passed == ""
        assert "gain-of-reference" not in figures
        assert any(remark.startswith("no reference") for remark in checks.remarks)
