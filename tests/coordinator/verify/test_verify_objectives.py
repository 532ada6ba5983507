"""Runs of mixed objectives and runs that start from given weights: the honest pass, and cheats are still seen."""

from __future__ import annotations

import pytest
from verify_attempt import Attempt, figures
from verify_world import BOUNDS, MODEL, World

from paris.experts.models.initial_weights import write_initial_weights
from paris.experts.models.model import initial_expert
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective
from paris.protocol.run_records import SharedFile

EPSILON = Objective(kind="epsilon", schedule="cosine")


def attempt(world: World, cluster: int, learned: Objective, *, task: Objective = EPSILON, data: int | None = None):
    """Somebody trained on a cluster's data under one objective, and hands it in for a task that asks for another."""
    trained = world.train(cluster if data is None else data, as_task=cluster, objective=learned)
    made = Attempt.honest(world, cluster)
    made.task = world.task(cluster, objective=task.to_settings() if task.kind == "epsilon" else {})
    made.weights, made.final_loss, made.commitment = trained.weights, trained.final_loss, trained.commitment
    return made


def test_an_honest_epsilon_expert_passes_among_flow_experts_of_other_clusters(world):
    report = attempt(world, 1, EPSILON).judge([world.other(0), world.other(2)])
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    found = figures(report)
    assert found["skill/identity"][0] > 0.5
    assert found["skill/gain"][0] > 4 * BOUNDS.min_gain
    assert found["skill/gain-in-sampling"][0] > 4 * BOUNDS.min_gain
    assert found["skill/claimed-loss"][0] < 1.5
    # Which of two objectives is ahead on a cluster would say something of the objectives, too.
    assert "skill/ahead-of-peers" not in found
    assert "compared by identity alone" in " ".join(report.rungs[3].remarks)


def test_an_honest_epsilon_expert_passes_among_experts_of_both_objectives(world):
    report = attempt(world, 1, EPSILON).judge([world.other(0, objective=EPSILON), world.other(2)])
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    assert figures(report)["skill/ahead-of-peers"][0] > 0.2
    assert "skill/gain-of-peers" in figures(report)


def test_an_honest_flow_expert_passes_beside_an_epsilon_expert(world):
    report = attempt(world, 2, FLOW_MATCHING, task=FLOW_MATCHING).judge(
        [world.other(0), world.other(1, objective=EPSILON)]
    )
    assert report.accepted, f"{report.reason}\n{figures(report)}"


def test_a_flow_expert_of_another_cluster_is_seen_beside_that_clusters_epsilon_expert(world):
    """Only what both objectives can be compared in tells."""
    report = attempt(world, 2, FLOW_MATCHING, task=FLOW_MATCHING, data=1).judge([world.other(1, objective=EPSILON)])
    assert report.reason.startswith("skill/identity"), report.reason


@pytest.fixture(scope="module")
def start(world):
    """Initial weights among the run's parts; not those of its seed, which is 7."""
    return write_initial_weights(world.folder, initial_expert(MODEL, 123))


def from_start(world, start, **changes):
    trained = world.train(0, start=start)
    made = Attempt.honest(world, 0)
    made.weights, made.final_loss, made.commitment = trained.weights, trained.final_loss, trained.commitment
    run = world.spec.model_copy(update={"initial_weights": SharedFile(**start.to_settings())})
    for name, value in changes.items():
        setattr(made, name, value)
    return made, {"run": run}


def test_progress_is_measured_from_the_weights_that_the_run_started_from(world, start):
    made, of_run = from_start(world, start)
    report = made.judge(**of_run)
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    seeded = Attempt.honest(world, 0).judge()
    assert figures(report)["novelty/distance"][0] != figures(seeded)["novelty/distance"][0]


def test_the_given_weights_handed_in_untouched_are_refused(world, start):
    untouched = (world.folder / start.path).read_bytes()
    made, of_run = from_start(world, start, weights=untouched)
    assert made.judge(**of_run).reason.startswith("novelty/distance")
    # Against the seed's weights, from which the run did not start, they would look like work.
    distance = figures(made.judge())["novelty/distance"][0]
    assert distance > 0.1


def test_two_experts_of_one_start_are_no_copies_of_each_other(world, start):
    other = world.train(1, start=start)
    path = world.folder / "other-start.safetensors"
    path.write_bytes(other.weights)
    theirs = world.other(1).model_copy(update={"path": path, "sha256": "0" * 64})
    made, of_run = from_start(world, start)
    found = figures(made.judge([theirs], **of_run))
    assert found["novelty/copy"][0] < 0.7
