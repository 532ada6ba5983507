"""What a demo on somebody's own pictures does in its time: pure, by pictures, speed and minutes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from paris.coordinator.demo.budget import LEAST_STEPS, Budget, BudgetError, Facts, choose, experts_for, workers_for
from paris.coordinator.demo.shapes import shapes_for
from paris.coordinator.demo.speed import MachineSpeed
from paris.coordinator.planning.speed import Speed

TEXT = {"kind": "vocabulary", "dim": 64, "max_tokens": 16}
MIXED = Facts(rows=300, captions=250, text=TEXT, decode_s=0.003, embed_flops=3e8)
CLASSES = replace(MIXED, rows=6000, captions=10)
LAPTOP = MachineSpeed("cpu", 2, 1, start_s=2.5, speed=Speed(flops_per_s=3e10, layer_s=2e-3))
GPU = MachineSpeed("cuda", 4, 4, start_s=4.0, speed=Speed(flops_per_s=1e13, layer_s=5e-4))


def chosen(facts: Facts, machine: MachineSpeed, minutes: float, side_px: int = 64, spent_s: float = 15.0) -> Budget:
    return choose(facts, shapes_for(side_px), machine, total_s=60 * minutes, spent_s=spent_s)


def test_no_more_trainings_are_measured_than_there_are_experts():
    assert workers_for(300, cores=2, wished=50) == experts_for(300) == 4
    assert workers_for(300, cores=2, wished=3) == 3


@pytest.mark.parametrize("minutes", [4, 10, 30, 120])
@pytest.mark.parametrize("machine", [LAPTOP, GPU], ids=["laptop", "gpu"])
@pytest.mark.parametrize("facts", [MIXED, CLASSES], ids=["mixed", "classes"])
def test_a_demo_is_predicted_to_end_in_its_time_and_to_use_most_of_it_while_there_is_something_to_learn(
    facts, machine, minutes
):
    budget = chosen(facts, machine, minutes)
    total_s = 15 + sum(budget.predicted_s.values())
    assert total_s <= 60 * minutes
    assert total_s >= 0.85 * 60 * minutes or budget.passes >= 3000


@pytest.mark.parametrize("facts", [MIXED, CLASSES], ids=["mixed", "classes"])
def test_more_minutes_never_mean_fewer_pictures_or_a_smaller_picture(facts):
    budgets = [chosen(facts, LAPTOP, minutes) for minutes in (4, 6, 10, 20, 40, 80, 200, 600)]
    sizes = [budget.shape.image_size for budget in budgets]
    assert sizes == sorted(sizes)
    smallest = [budget for budget in budgets if budget.shape == budgets[0].shape]
    assert [budget.num_rows for budget in smallest] == sorted(budget.num_rows for budget in smallest)


def test_a_gpu_chooses_more_than_two_cores_in_the_same_time():
    laptop, gpu = chosen(CLASSES, LAPTOP, 10), chosen(CLASSES, GPU, 10)
    assert (laptop.shape.image_size, gpu.shape.image_size) == (32, 64)
    assert gpu.num_rows > laptop.num_rows
    assert gpu.shape.batch_size > laptop.shape.batch_size
    assert gpu.num_experts > laptop.num_experts


def test_pictures_with_captions_of_their_own_are_fewer_than_those_that_share_them():
    own, shared = chosen(replace(MIXED, rows=6000, captions=6000), LAPTOP, 10), chosen(CLASSES, LAPTOP, 10)
    assert own.num_rows < shared.num_rows
    assert own.passes == pytest.approx(400, rel=0.1)
    assert shared.passes == pytest.approx(40, rel=0.1)


def test_no_shape_is_larger_than_the_pictures():
    assert chosen(CLASSES, GPU, 60, side_px=28).shape.image_size == 28
    assert chosen(CLASSES, GPU, 60, side_px=50).shape.image_size == 48
    assert {shape.image_size % 4 for side in range(16, 100) for shape in shapes_for(side)} == {0}


def test_too_little_time_is_refused_with_the_least_which_then_suffices():
    slow = replace(LAPTOP, speed=Speed(flops_per_s=5e9, layer_s=5e-3))
    with pytest.raises(BudgetError, match="1 minutes are too short") as refused:
        chosen(MIXED, slow, 1)
    least = int(refused.value.next_step.split()[-1].rstrip("."))
    assert least > 1
    assert chosen(MIXED, slow, least).steps >= LEAST_STEPS


def test_each_expert_has_at_least_twenty_pictures():
    for rows in (40, 79, 80, 159, 160, 300, 3200, 24_000, 10**6):
        assert rows / experts_for(rows) >= 20


@pytest.mark.parametrize(("rows", "cores", "workers"), [(40, 8, 2), (300, 1, 1), (300, 3, 2), (300, 64, 4)])
def test_volunteers_divide_the_experts_and_fit_the_cores(rows, cores, workers):
    assert workers_for(rows, cores) == workers
    assert experts_for(rows) % workers == 0


def test_the_prediction_of_training_counts_each_experts_steps_in_turn():
    one, two = replace(LAPTOP, num_workers=1), LAPTOP
    alone, together = chosen(MIXED, one, 10), chosen(MIXED, two, 10)
    assert (alone.num_workers, together.num_workers) == (1, 2)
    assert together.steps * together.num_experts > 1.5 * alone.steps * alone.num_experts
    rounds_s = together.steps * together.step_s * math.ceil(together.num_experts / 2)
    assert rounds_s < together.predicted_s["train"] < 1.5 * rounds_s
