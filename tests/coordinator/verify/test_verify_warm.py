"""Experts that all start from one short training on all data: what the ladder then asks, and of whom."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save
from verify_attempt import Attempt, figures, with_weights
from verify_world import BOUNDS, NUM_CLUSTERS, STEPS

from paris.coordinator.run.config import WARM_START_BOUNDS

WARM = BOUNDS.model_copy(update=WARM_START_BOUNDS)


@pytest.fixture(scope="module")
def warm(world):
    """A run whose start has done a fifth of all steps."""
    return world.warm(STEPS // 5)


def others(warm, cluster):
    return [warm.other(k) for k in range(NUM_CLUSTERS) if k != cluster]


@pytest.mark.parametrize("cluster", range(NUM_CLUSTERS))
def test_an_honest_expert_passes_first_or_among_the_others(warm, cluster):
    attempt = Attempt.honest(warm, cluster)
    for there in ([], others(warm, cluster)):
        report = attempt.judge(there, bounds=WARM)
        assert report.accepted, f"{report.reason}\n{figures(report)}"
    found = figures(report)
    assert found["skill/gain"][0] > 2 * WARM.min_gain
    assert found["novelty/copy"][0] < WARM.max_cosine - 0.1
    assert found["novelty/hidden-copy"][0] > 2 * WARM.min_spectral_distance


def test_the_start_itself_is_refused_untouched_or_disguised(warm):
    attempt = Attempt.honest(warm, 0)
    untouched = with_weights(attempt, save(warm.initial())).judge(bounds=WARM)
    assert untouched.reason.startswith("novelty/distance: ")
    dice = torch.Generator().manual_seed(0)
    noisy = {
        name: value + 0.02 * value.std(correction=0) * torch.randn(value.shape, generator=dice)
        for name, value in warm.initial().items()
    }
    disguised = with_weights(attempt, save(noisy)).judge(bounds=WARM)
    assert disguised.reason.startswith("skill/gain: "), disguised.reason


def test_training_on_another_cluster_is_refused_first_or_among_the_others(warm):
    wrong = with_weights(Attempt.honest(warm, 0), warm.train(1, as_task=0).weights)
    for there in ([], [warm.other(2)]):
        report = wrong.judge(there, bounds=WARM)
        assert report.reason.startswith("skill/home-cluster: "), report.reason
