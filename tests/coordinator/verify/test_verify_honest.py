"""Honest work passes, with room to every bound; what the ladder notes without refusing; what it does not see."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import load, save
from torch.nn.functional import cosine_similarity
from verify_attempt import Attempt, figures, with_weights
from verify_world import BOUNDS, NOW, NUM_CLUSTERS

from paris.coordinator.demo.settings import LENIENT_BOUNDS
from paris.coordinator.verify.novelty_rung import cosines
from paris.coordinator.verify.statistics import Resampled, lower_bound, upper_bound
from paris.coordinator.verify.tensor_reads import open_trusted


def remarks(report):
    return " ".join(remark for rung in report.rungs for remark in rung.remarks)


@pytest.mark.parametrize("cluster", range(NUM_CLUSTERS))
def test_an_honest_expert_passes_among_the_others_with_room_to_every_bound(world, cluster):
    report = Attempt.honest(world, cluster).judge([world.other(k) for k in range(NUM_CLUSTERS) if k != cluster])
    assert report.accepted, f"{report.reason}\n{figures(report)}"
    found = figures(report)
    assert found["structure/smallest-norm"][0] > 2 * BOUNDS.min_rms_ratio
    assert found["structure/largest-norm"][0] < BOUNDS.max_rms_ratio / 2
    assert found["novelty/distance"][0] > 10 * BOUNDS.min_distance
    assert found["novelty/copy"][0] < BOUNDS.max_cosine - 0.3
    assert found["novelty/hidden-copy"][0] > 2 * BOUNDS.min_spectral_distance
    assert found["skill/gain"][0] > 4 * BOUNDS.min_gain
    assert found["skill/ahead-of-peers"][0] > 0.3
    assert found["skill/identity"][0] > 0.5
    assert found["skill/claimed-loss"][0] < 1.5
    assert [rung.name for rung in report.rungs] == ["envelope", "structure", "novelty", "skill"]
    assert len(report.verdict().rungs) == 4
    assert report.local_path.read_bytes() == world.train(cluster).weights


def test_the_first_honest_expert_passes_without_any_yardstick(world):
    report = Attempt.honest(world, 0).judge()
    assert report.accepted, report.reason
    assert figures(report)["skill/home-cluster"][0] < 0
    notes = [check.note for rung in report.rungs for check in rung.checks]
    assert len(notes) > 30
    read_as_failures = re.compile(r"\b((names|by) another|but|not an?|is not|names no|no pull)\b")
    assert [note for note in notes if read_as_failures.search(note)] == []


def test_an_honest_expert_beside_one_of_an_alike_cluster_passes_by_the_bounds_of_a_demo(world, tmp_path):
    twin = tmp_path / "twin.safetensors"  # registered for cluster 1, whose pictures were like those of cluster 0
    twin.write_bytes(world.train(0, as_task=1).weights)
    alike = world.other(1).model_copy(update={"path": twin, "sha256": "e" * 64})
    strict = Attempt.honest(world, 0).judge([alike, world.other(2)])
    assert strict.reason.startswith(("skill/ahead-of-peers", "skill/identity")), strict.reason
    lenient = BOUNDS.model_copy(update=LENIENT_BOUNDS)
    report = Attempt.honest(world, 0).judge([alike, world.other(2)], bounds=lenient)
    assert report.accepted, f"{report.reason}\n{figures(report)}"


def test_half_precision_of_an_honest_expert_passes(world):
    halves = {name: value.bfloat16() for name, value in load(world.train(0).weights).items()}
    report = with_weights(Attempt.honest(world, 0), save(halves)).judge()
    assert report.accepted, report.reason


def test_late_work_for_a_task_without_an_expert_is_judged_and_noted(world):
    report = Attempt.honest(world, 0, expires_at=NOW - 500.0, state="revoked").judge()
    assert report.accepted, report.reason
    assert "late work" in report.rungs[0].record().note


def test_the_same_work_by_two_volunteers_on_one_task_passes_with_a_remark_unless_the_organiser_refuses_it(world):
    first = world.other(0)
    report = Attempt.honest(world, 0).judge([first])
    assert report.accepted, report.reason
    assert "deterministic" in remarks(report)
    strict = BOUNDS.model_copy(update={"same_task_is_copy": True})
    assert Attempt.honest(world, 0).judge([first], bounds=strict).reason.startswith("novelty/same-file")


def test_a_later_push_by_a_stranger_does_not_hurt_where_the_organiser_judges_the_signed_commit(world):
    attempt = Attempt.honest(world, 0)
    attempt.pushed_later = world.train(1).weights
    report = attempt.judge(bounds=BOUNDS.model_copy(update={"allow_moved_head": True}))
    assert report.accepted, report.reason
    assert report.local_path.read_bytes() == attempt.weights
    assert "the signed commit was judged" in remarks(report)


def test_cosines_from_blocks_are_those_of_all_weights(world):
    attempt = Attempt.honest(world, 0)
    case = attempt.submit([world.other(1)])
    case.candidate.parent.mkdir(parents=True)
    case.candidate.write_bytes(attempt.weights)
    file, initial = open_trusted(case.candidate, BOUNDS), world.initial()
    exact = cosines(case, file, initial, list(case.others))[0]
    one, two = load(world.train(0).weights), load(world.train(1).weights)
    pairs = [((one[n] - w0).flatten().double(), (two[n] - w0).flatten().double()) for n, w0 in initial.items()]
    whole = cosine_similarity(torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]), dim=0)
    parts = sorted(float(cosine_similarity(a, b, dim=0)) for a, b in pairs)
    assert exact == pytest.approx(max(float(whole), parts[len(parts) // 2]), abs=1e-6)
    few = case.model_copy(update={"bounds": BOUNDS.model_copy(update={"max_compared_values": 60000})})
    assert cosines(few, file, initial, list(case.others))[0] == pytest.approx(exact, abs=0.08)


def test_the_bootstrap_bounds_agree_with_the_normal_approximation():
    losses = torch.rand(400, generator=torch.Generator().manual_seed(0)) + 1.0
    values = Resampled({0: 400}, seed=1, samples=4000).log_means(losses, 0)
    deviation = float(losses.double().std() / losses.double().mean()) / 400**0.5
    assert upper_bound(values, 0.975) - float(values[0]) == pytest.approx(1.96 * deviation, rel=0.1)
    assert float(values[0]) - lower_bound(values, 0.975) == pytest.approx(1.96 * deviation, rel=0.1)


def test_an_expert_of_a_harder_cluster_is_not_refused_for_a_difference_that_chance_explains(world):
    gains = [figures(Attempt.honest(world, cluster).judge())["skill/gain"][0] for cluster in (0, 1)]
    harder, easier = sorted((0, 1), key=gains.__getitem__)
    barely_missed = BOUNDS.model_copy(update={"min_peer_gain_share": 1.001 * gains[harder] / gains[easier]})
    report = Attempt.honest(world, harder).judge([world.other(easier)], bounds=barely_missed)
    assert report.accepted, report.reason
