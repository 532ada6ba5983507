"""The small models: their data, and every stage of them once, far too short to draw anything."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmarks.quality_figures import best_scales, measure
from benchmarks.quality_plan import Question
from benchmarks.small.arms import MONOLITH, arm
from benchmarks.small.calibration import best_temperature, calibration_by_noise
from benchmarks.small.clusters import heldout_homes, mutual_information, num_clusters, read_clusters
from benchmarks.small.folder import load
from benchmarks.small.lanes import train_in_lanes
from benchmarks.small.losses import losses_by_cluster, own_loss
from benchmarks.small.parts import train_part
from benchmarks.small.pictures import SmallDataError
from benchmarks.small.routers import train_routers
from benchmarks.small.settings import SmallSettings, keep_settings
from benchmarks.small.students import train_routers_on_samples, train_student
from benchmarks.small.train import clusterings_of, prepare
from benchmarks.small.ways import TrainedArm, way
from paris.experts.errors import ExpertError, SettingsError

SMALLEST = SmallSettings(
    experts=2,
    steps=4,
    router_steps=2,
    router_heldout=20,
    prompt_router_steps=2,
    classifier_epochs=1,
    hidden_size=16,
    num_layers=1,
    router_samples=6,
    samples=20,
)
ARMS = (MONOLITH, "semantic-2", "warm-2", "narrow-2", "epsilon-2", "overlap-2", "distilled-2", "sampled-2", "seeing-2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Trained in this process: what `train` does in others."""
    path = tmp_path_factory.mktemp("small") / "digits-0"
    arms = [arm(name, SMALLEST) for name in ARMS]
    prepare(path, SMALLEST, clusterings_of(arms))
    starts = {part.name: part for one in arms for part in one.starts}
    for part in [*starts.values(), *(part for one in arms for part in one.parts if not part.is_student)]:
        train_part(path, part, starts[part.start] if part.start else None)
    for clustering in ("semantic-2", "overlap-2", "semantic-2.seeing"):
        train_routers(path, clustering)
    distilled, sampled = arm("distilled-2", SMALLEST), arm("sampled-2", SMALLEST)
    train_student(path, distilled.parts[0], distilled.teachers)
    train_routers_on_samples(path, sampled.clustering, sampled.parts)
    return path


def test_clusters_that_are_classes_say_all_of_them_and_random_ones_nothing():
    assert mutual_information(np.diag([5, 7, 9])) == pytest.approx(1)
    assert mutual_information(np.outer([1, 2], [3, 4, 5])) == pytest.approx(0, abs=1e-12)


def test_a_folder_is_not_gone_on_with_under_other_settings(tmp_path):
    keep_settings(tmp_path, SMALLEST)
    keep_settings(tmp_path, SMALLEST)
    with pytest.raises(SmallDataError, match="steps 4, not 5"):
        keep_settings(tmp_path, SMALLEST.model_copy(update={"steps": 5}))


def test_the_batch_is_split_evenly_or_not_at_all():
    with pytest.raises(SettingsError, match="evenly over 3"):
        SmallSettings.from_settings({"experts": 3})
    with pytest.raises(SmallDataError, match="no arm 'semantic-5'"):
        arm("semantic-5", SMALLEST)


@pytest.mark.parametrize("name", ["semantic-4", "random-8", "warm-4", "brief-4", "overlap-2", "steps-4"])
def test_every_arm_costs_at_most_what_the_monolith_does(name):
    settings = SmallSettings()
    monolith = sum(arm(MONOLITH, settings).flops(settings).values())
    spent = sum(arm(name, settings).flops(settings).values())
    assert spent <= monolith * 1.005
    assert spent > monolith * 0.9


@pytest.mark.parametrize("name", ["semantic", "fog-4", "semantic-0", "all-1", ""])
def test_an_arm_that_is_none_is_named(name):
    with pytest.raises(SmallDataError):
        arm(name, SMALLEST)


def test_a_way_that_is_none_is_named():
    with pytest.raises(ExpertError, match="Unknown routing 'nearest'"):
        way("nearest")
    with pytest.raises(ExpertError):
        way("ancestral<two")
    assert way("top2+prompt~0.5/5").routing.temperature == 0.5
    assert (way("top2/5").routing.router_every, way("top2/5").asks_prompt) == (5, False)
    assert arm("semantic-2@0.5", SMALLEST).parts[0].rate == 0.5
    with pytest.raises(SmallDataError, match="'fast' is no multiple"):
        arm("monolith@fast", SMALLEST)


def test_overlapping_clusters_share_rows_and_others_do_not(folder):
    rows = {
        name: [row for data in read_clusters(folder, name) for row in data.shard(0).texts("row_id")]
        for name in ("semantic-2", "overlap-2")
    }
    assert len(rows["semantic-2"]) == len(set(rows["semantic-2"])) == 4000
    assert len(rows["overlap-2"]) > len(set(rows["overlap-2"])) == 4000
    assert len(heldout_homes(folder, "semantic-2")) == 1000
    assert num_clusters("overlap-2") == 2


def test_a_warm_start_starts_from_what_was_trained_together(folder):
    warm = arm("warm-2", SMALLEST)
    losses = {}
    for name in ("semantic-2", "warm-2"):
        ensemble = TrainedArm(folder, SMALLEST, arm(name, SMALLEST))
        losses[name] = ensemble.experts[0].pos_embed
    assert warm.parts[0].start == warm.starts[0].name
    assert not torch.equal(losses["semantic-2"], losses["warm-2"])
    faster = arm("warm-2@4", SMALLEST)
    assert faster.parts[0].start == faster.starts[0].name != warm.starts[0].name
    assert {part.rate for part in (*faster.parts, *faster.starts)} == {4.0}


def test_a_student_and_the_monolith_beside_it_see_as_much():
    student, beside = arm("distilled-4@2", SMALLEST), arm("monolith-4@2", SMALLEST)
    assert student.parts[0].flops(SMALLEST) == sum(beside.flops(SMALLEST).values())
    assert student.parts[0].rate == beside.parts[0].rate == 2.0
    assert student.teachers == arm("semantic-4", SMALLEST).parts
    assert beside.is_monolith
    with pytest.raises(SmallDataError):
        arm("monolith-0", SMALLEST)


def test_the_oracle_asks_the_expert_of_the_held_out_picture_s_own_cluster(folder):
    small = load(folder)
    places, homes = small.judge.prompts(20), heldout_homes(folder, "semantic-2")
    prompts = small.ensemble._prompts(small.judge, places, way("oracle"), 1.0)
    assert prompts.posterior.log_posterior.argmax(1).tolist() == homes[places].tolist()
    assert prompts.posterior.log_posterior.softmax(1).max(1).values.min().item() == pytest.approx(1)


def test_ancestral_routing_costs_what_the_monolith_costs(folder):
    small = load(folder)
    rows = [small.ensemble.draw(small.judge, way(name), 20, 1.0) for name in ("ancestral", "top2")]
    assert rows[0].expert_rows == 25
    assert rows[0].router_rows == 0
    assert rows[1].expert_rows == 50
    assert rows[1].router_rows == 25


def test_a_narrow_expert_is_counted_at_its_own_size(folder):
    judge = load(folder).judge
    drawn = [
        TrainedArm(folder, SMALLEST, arm(f"{kind}-2", SMALLEST)).draw(judge, way("full"), 20, 1.0)
        for kind in ("semantic", "narrow")
    ]
    assert drawn[0].expert_rows == drawn[1].expert_rows == 50
    assert drawn[0].expert_flops / 2 < drawn[1].expert_flops < drawn[0].expert_flops


def test_a_student_draws_alone_and_routers_of_samples_are_others_than_those_of_data(folder):
    judge = load(folder).judge
    student = TrainedArm(folder, SMALLEST, arm("distilled-2", SMALLEST))
    assert student.draw(judge, way("alone"), 4, 1.0).expert_rows == 25
    sampled, own = (TrainedArm(folder, SMALLEST, arm(name, SMALLEST)) for name in ("sampled-2", "semantic-2"))
    assert not torch.equal(sampled.router.head[4].weight, own.router.head[4].weight)
    assert torch.equal(sampled.experts[1].pos_embed, own.experts[1].pos_embed)


def test_a_router_that_sees_the_prompt_routes_by_it_alone(folder):
    seeing = TrainedArm(folder, SMALLEST, arm("seeing-2", SMALLEST))
    assert seeing.router.sees_prompt
    judge = load(folder).judge
    drawn = [seeing.draw(judge, way(name), 4, 1.0).pictures for name in ("full+prompt", "full")]
    assert np.array_equal(*drawn)


def test_a_way_s_name_says_how_it_is_guided_and_calibrated(folder):
    judge, small = load(folder).judge, TrainedArm(folder, SMALLEST, arm("semantic-2", SMALLEST))
    away, plain = (small.draw(judge, way(name), 20, 2.0) for name in ("ancestral!2", "ancestral"))
    assert (away.expert_rows, away.router_rows) == (25 + 13, 13)
    assert (plain.expert_rows, plain.router_rows) == (50, 0)
    unguided = [small.draw(judge, way(name), 20, 1.0).pictures for name in ("ancestral!2", "ancestral")]
    assert np.array_equal(*unguided)
    sure = [small.draw(judge, way(f"full+prompt{mark}"), 20, 1.0).pictures for mark in ("", "~c")]
    assert not np.array_equal(*sure)
    with pytest.raises(SmallDataError, match="Only a posterior by Bayes"):
        small.draw(judge, way("full~c"), 20, 1.0)
    with pytest.raises(SmallDataError, match="is not calibrated"):
        way("ancestral~c")


def test_calibration_is_told_at_each_noise_level_with_and_without_the_prompt(folder):
    rows = calibration_by_noise(folder, "semantic-2")
    assert [row["t"] for row in rows] == pytest.approx([level / 10 for level in range(10)])
    for row in rows:
        for figures in (row["picture"], row["with_prompt"]):
            assert 0 <= figures["accuracy"] <= 1
            assert figures["nats"] >= 0


def test_the_best_temperature_undoes_what_made_a_posterior_too_sure():
    dice = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 3, generator=dice, dtype=torch.float64)
    labels = torch.multinomial(honest.softmax(1), 1, generator=dice)[:, 0]
    for factor in (1.0, 2.5, 0.5):
        assert best_temperature(factor * honest, labels) == pytest.approx(factor, rel=0.05)


def test_each_figure_is_measured_once_and_a_line_that_was_cut_is_measured_again(folder):
    questions = [Question(MONOLITH, "alone"), Question("semantic-2", "ancestral"), Question("semantic-2", "full", (1,))]
    questions.insert(1, Question(MONOLITH, "alone", is_guided=True))
    guided = [question for question in questions if question.is_guided]
    scale = best_scales(folder, guided, 1)
    assert best_scales(folder, guided, 1) == scale
    rows = measure(folder, questions, scale, 1)
    assert [row["arm"] for row in rows] == [MONOLITH, MONOLITH, "semantic-2", "semantic-2"]
    assert [row["guidance_scale"] for row in rows] == [1.0, scale[MONOLITH], 1.0, 1.0]
    assert all(row["num_samples"] == 20 and row["frechet"] > 0 for row in rows)
    path = folder / "figures.jsonl"
    before = path.read_text()
    assert measure(folder, questions, scale, 1) == rows
    assert path.read_text() == before
    lines = before.splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:40])
    assert measure(folder, questions[:2], scale, 1) == rows[:2]


@pytest.mark.parametrize("outer", ["mean", "nesterov"])
def test_lanes_end_with_another_expert_than_one_volunteer_and_cost_what_all_of_them_train(folder, outer):
    alone = arm("semantic-2", SMALLEST).parts[0]
    part = alone.model_copy(update={"lanes": 2, "round_steps": 1, "outer": outer})
    train_in_lanes(folder, part)
    assert own_loss(folder, part) != own_loss(folder, alone)
    assert part.flops(SMALLEST) * 4 == alone.flops(SMALLEST) * (4 + 3), "the last of four steps is one lane's"
    assert len(list((folder / "work" / part.name).glob("lane-*"))) == 2


def test_losses_are_told_for_each_cluster(folder):
    experts, beside = arm("semantic-2", SMALLEST), arm(MONOLITH, SMALLEST).parts[0]
    rows = losses_by_cluster(folder, experts, beside)
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)
    assert [row["cluster"] for row in rows] == [0, 1]
    assert all(0 < row["own"] < 10 for row in rows)
    assert all(row["gain"] == pytest.approx(1 - row["own"] / row["beside"], abs=1e-3) for row in rows)
    # Of two experts, each is the other's best other.
    elsewhere = 1 - rows[1]["best_other"] / rows[1]["beside"] - rows[0]["gain"]
    assert rows[0]["elsewhere"] == pytest.approx(elsewhere, abs=1e-3)
    same = losses_by_cluster(folder, experts._replace(parts=(beside, beside)), beside)
    assert [row["gain"] for row in same] == [0, 0]


def test_what_is_done_is_not_done_again(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    arms = [arm(name, SMALLEST) for name in ARMS]
    prepare(folder, SMALLEST, clusterings_of(arms))
    train_part(folder, arms[1].parts[0])
    train_routers(folder, "semantic-2")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    assert all(one.name != other.name for one, other in pairwise(arms))
