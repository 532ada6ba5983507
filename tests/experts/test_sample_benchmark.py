import pytest
import torch
from tiny_models import TINY, TINY_ROUTER

from benchmarks.sample_equal import compare
from benchmarks.sample_models import random_model
from benchmarks.sample_quality import REFERENCE, Measured
from benchmarks.sample_replay import race
from benchmarks.sample_search import search
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.trace import RoutingTrace


def test_the_plain_loop_over_pictures_makes_the_same_pictures():
    found = compare(random_model(TINY, TINY_ROUTER, 4, 5), num_steps=3)
    assert found["maximal_difference"] < 1e-4 * found["largest_value"]
    assert found["experts_per_step"] > 2


def test_a_replay_runs_the_experts_that_the_trace_names():
    model = random_model(TINY, TINY_ROUTER, 4, 3)
    asked = [0] * 4
    for number, expert in enumerate(model.experts):
        expert.register_forward_pre_hook(lambda _, inputs, k=number: asked.__setitem__(k, asked[k] + len(inputs[0])))
    # Two experts become four: picture 1, of odd number, uses the second pair.
    weights = torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    way = SamplingSettings(num_steps=2, guidance=Guidance(scale=3.0, interval=(0.9, 1.0)))
    found = race(model, {"one": (way, RoutingTrace((0, 1), (1.0, 0.5), weights))})
    # The first step is guided and counts twice.
    assert asked == [2 * 2 + 2, 2, 2, 2 + 1]
    assert (found["one"]["num_steps"], found["one"]["times_faster"]) == (2, 1.0)


class Formula:
    """Measurements of a model whose distance and cost follow from the settings."""

    def of(self, way):
        short, narrow = 40 / way.num_steps, way.guidance.interval[1] - way.guidance.interval[0]
        distance = 10 + max(0.0, short - 4) + 3 * max(0.0, 0.7 - narrow) + 10 * (way.routing.sure_above < 0.9)
        distance += 0.05 * (way.routing.router_every - 1) + 10 * (way.routing.name != "top2")
        evaluations = way.num_steps / way.guidance.every
        return Measured(way, distance, 0.9, evaluations * (1 + narrow), way.num_steps / way.routing.router_every)


def test_the_search_keeps_each_saving_that_leaves_the_quality_equal():
    reference = Formula().of(REFERENCE)
    found = search(Formula(), reference)
    assert found.settings.num_steps == 10
    assert found.settings.guidance.interval == (0.2, 0.9)
    assert found.settings.routing.sure_above == 1.0
    assert found.settings.routing.router_every == 4
    assert found.settings.routing.name == "top2"
    assert found.equals(reference)
    assert found.cost < reference.cost / 4


@pytest.mark.parametrize(
    ("distance", "recognised", "equal"), [(10.2, 0.9, True), (10.3, 0.9, False), (9.0, 0.8, False)]
)
def test_equal_quality_is_a_distance_within_two_percent_and_no_fewer_prompts_shown(distance, recognised, equal):
    reference = Measured(REFERENCE, 10.0, 0.9, 200.0, 50.0)
    assert Measured(REFERENCE, distance, recognised, 20.0, 10.0).equals(reference) is equal
