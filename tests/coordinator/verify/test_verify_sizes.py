"""Runs of experts of different sizes: the honest pass beside each other, and cheats are still seen."""

from __future__ import annotations

import hashlib

import pytest
from verify_attempt import Attempt, figures
from verify_world import MODEL, World

from paris.coordinator.verify import OtherCheckpoint
from paris.experts.models.presets import ModelConfig

SMALL = MODEL.model_copy(update={"hidden_size": 24})


def attempt(world: World, cluster: int, model: ModelConfig, *, data: int | None = None) -> Attempt:
    """Somebody trained an expert of a size on a cluster's data, and hands it in."""
    trained = world.train(cluster if data is None else data, as_task=cluster, model=model)
    made = Attempt.honest(world, cluster)
    made.weights, made.final_loss, made.commitment = trained.weights, trained.final_loss, trained.commitment
    return made


def judged(made: Attempt, model: ModelConfig, others: list[tuple[int, ModelConfig]]):
    """The verdict on work for a lease of a size, beside registered experts of given sizes."""
    spec = made.world.spec.model_copy(update={"model": model.to_settings()})
    registered = [registered_expert(made.world, cluster, size, beside=model) for cluster, size in others]
    return made.judge(registered, run=spec)


def registered_expert(world: World, cluster: int, model: ModelConfig, beside: ModelConfig) -> OtherCheckpoint:
    weights = world.train(cluster, model=model).weights
    path = world.folder / f"of-size-{model.hidden_size}-{cluster}.safetensors"
    path.write_bytes(weights)
    return OtherCheckpoint(
        task_id=f"expert-{cluster}",
        cluster=cluster,
        sha256=hashlib.sha256(weights).hexdigest(),
        volunteer="f" * 64,
        path=path,
        registered=True,
        model=None if model == beside else model.to_settings(),
    )


@pytest.mark.parametrize(("own", "size"), [(SMALL, MODEL), (MODEL, SMALL)])
def test_an_honest_expert_passes_beside_experts_of_another_size(world, own, size):
    report = judged(attempt(world, 1, own), own, [(0, size), (2, size)])
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    found = figures(report)
    assert found["skill/identity"][0] > 0.3
    # Which of two sizes is ahead on a cluster, or gains more, would say something of the sizes, too.
    assert not {"skill/ahead-of-peers", "skill/gain-of-peers", "novelty/hidden-copy"} & found.keys()


def test_a_smaller_expert_is_compared_with_one_of_its_size(world):
    report = judged(attempt(world, 1, SMALL), SMALL, [(0, SMALL), (2, MODEL)])
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    assert {"skill/ahead-of-peers", "skill/gain-of-peers", "novelty/hidden-copy"} <= figures(report).keys()


@pytest.mark.parametrize(("own", "size"), [(MODEL, SMALL), (SMALL, SMALL)])
def test_an_expert_of_another_cluster_is_seen_beside_that_clusters_expert_of_no_larger_size(world, own, size):
    report = judged(attempt(world, 1, own, data=2), own, [(2, size)])
    assert report.reason.startswith("skill/"), report.reason


def test_an_expert_of_another_size_than_its_lease_is_refused(world):
    report = judged(attempt(world, 1, SMALL), MODEL, [])
    assert report.reason.startswith(("envelope/", "structure/")), report.reason
