"""Honest experts pass, and with room to spare to every bound."""

from __future__ import annotations

import pytest
from verify_world import NUM_CLUSTERS, Attempt, figures


def figure(report, rung, check):
    made = next(r for r in report.rungs if r.name == rung).checks
    return [c.figure for c in made if c.name == check]


@pytest.mark.parametrize("cluster", range(NUM_CLUSTERS))
def test_an_honest_expert_passes_among_the_others_with_room_to_every_bound(world, cluster):
    others = [world.other(k) for k in range(NUM_CLUSTERS) if k != cluster]
    report = Attempt.honest(world, cluster).judge(others)
    print(figures(report))
    assert report.accepted, report.reason
    assert [rung.name for rung in report.rungs] == ["envelope", "structure", "novelty", "skill"]


def test_the_first_honest_expert_passes_without_any_yardstick(world):
    report = Attempt.honest(world, 0).judge()
    assert report.accepted, report.reason
