"""Experts of both objectives in one model: each trained as its task says, then sampled together."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from test_layout import make_layout
from tiny_models import tiny_expert, tiny_router
from tiny_sampling import draw
from tiny_training import MODEL, SHAPE, SHARD_ROWS, make_data, make_rows, make_task, make_training, shard_path

from paris.experts.data.shards import write_shard
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.initial_weights import write_initial_weights
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective, as_velocity
from paris.experts.release.layout import load_expert, read_layout, write_layout
from paris.experts.sampling.prompts import Prompts
from paris.experts.training.evaluate import comparable_losses, heldout_losses, stratified_draws
from paris.experts.training.expert_training import ExpertTraining

EPSILON = Objective(kind="epsilon", schedule="cosine")


DARK = {"low": 20, "high": 60}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Dark pictures, which are quickly told from noise."""
    made = tmp_path_factory.mktemp("data")
    make_data(made)
    for index, count in enumerate(SHARD_ROWS):
        write_shard(shard_path(made, index), make_rows(count, index, **DARK), SHAPE, "uint8")
    return made


def trained(folder, work, **settings):
    finished = make_training(folder, work, steps=150, snapshot_every=1000, **settings).run(
        lambda progress: None, lambda: False
    )
    expert = DiTExpert(MODEL)
    expert.load_state_dict(load_file(finished.weights_path))
    return expert.eval(), finished.final_loss


@pytest.fixture(scope="module")
def pair(folder, tmp_path_factory):
    """Two experts of one cluster and their last losses: velocity, noise."""
    work = tmp_path_factory.mktemp("work")
    return trained(folder, work / "flow"), trained(folder, work / "epsilon", objective=EPSILON)


@pytest.fixture(scope="module")
def rows():
    codec = load_codec(CodecConfig(), None)
    x0 = torch.stack([codec.to_model(row.latent[None])[0] for row in make_rows(16, 99, **DARK)])
    return x0, (torch.randn(16, 4, 8), torch.ones(16, 4, dtype=torch.bool))


def test_each_expert_is_good_at_what_its_task_asked_for_and_at_nothing_else(pair, rows):
    for (expert, final_loss), own, other in ((pair[0], FLOW_MATCHING, EPSILON), (pair[1], EPSILON, FLOW_MATCHING)):
        untrained = initial_expert(MODEL, 7)
        score = {o: heldout_losses(expert, *rows, seed=1, objective=o).mean().item() for o in (own, other)}
        start = heldout_losses(untrained, *rows, seed=1, objective=own).mean().item()
        assert score[own] < 0.8 * start
        assert score[own] < score[other]
        assert final_loss == pytest.approx(score[own], rel=0.25)


def test_in_shared_terms_a_flow_expert_read_as_an_epsilon_expert_is_of_no_use(pair, rows):
    def score(expert, objective):
        return comparable_losses(expert, *rows, seed=1, objective=objective).mean().item()

    (flow, _), (epsilon, _) = pair
    silent = score(initial_expert(MODEL, 7), FLOW_MATCHING)
    assert score(flow, FLOW_MATCHING) < 0.8 * silent
    assert score(epsilon, EPSILON) < silent < score(flow, EPSILON)


def test_shared_terms_are_the_error_of_the_noise_that_the_velocity_implies(rows):
    # With x_t and v: noise = x_t + (1 - t) v. One row, one draw, by hand.
    x0, (text, mask) = rows
    expert = tiny_expert(0, MODEL)
    t, noise = stratified_draws(5, 0, 1, x0.shape[1:])
    x_t = (1 - t) * x0[:1] + t * noise
    with torch.no_grad():
        implied = x_t + (1 - t) * expert(x_t, t, text[:1], mask[:1])
    found = comparable_losses(expert, x0[:1], (text[:1], mask[:1]), seed=5, num_draws=1)
    torch.testing.assert_close(found[0], (implied - noise).square().mean().double(), rtol=1e-5, atol=1e-6)


def test_experts_of_both_objectives_are_sampled_as_one_model(pair, rows):
    experts = [as_velocity(pair[0][0], FLOW_MATCHING), as_velocity(pair[1][0], EPSILON)]

    def router(x, t):
        return torch.zeros(len(x), 2)

    text, mask = rows[1]
    null = torch.zeros(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    drawn = draw(experts, router, Prompts(text[:2], mask[:2], negative=null), [0, 1], num_steps=8, guidance=3.0)
    assert drawn.isfinite().all()
    assert drawn.abs().max() < 10


def test_what_an_expert_learns_and_starts_from_is_part_of_its_task(tmp_path):
    weights = write_initial_weights(tmp_path, initial_expert(MODEL, 5))
    plain, started = make_task(), make_task().model_copy(update={"initial_weights": weights})
    assert len({plain.digest, make_task(objective=EPSILON).digest, started.digest}) == 3


def test_training_starts_from_the_weights_that_travel_with_the_run(tmp_path):
    make_data(tmp_path)
    start = initial_expert(MODEL, 5)
    task = make_task(steps=1, learning_rate=1e-12).model_copy(
        update={"initial_weights": write_initial_weights(tmp_path, start)}
    )
    training = ExpertTraining(task, tmp_path / "work", lambda i: shard_path(tmp_path, i), tmp_path)
    found = load_file(training.run(lambda progress: None, lambda: False).weights_path)
    for name, value in start.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


def test_a_model_folder_says_what_each_expert_learned(tmp_path):
    write_vocabulary(tmp_path / "words" / "list.json", ["dog"])
    layout = make_layout(prompt_router=None, objectives=(FLOW_MATCHING, EPSILON, FLOW_MATCHING))
    write_layout(tmp_path / "model", layout, [tiny_expert(k) for k in range(3)], tiny_router(), tmp_path)
    found = read_layout(tmp_path / "model")
    assert found.objectives == layout.objectives
    expert = as_velocity(load_expert(tmp_path / "model", found, 1), found.objectives[1])
    assert expert.objective == EPSILON
    assert expert.config == found.model


def test_a_model_says_the_objective_of_all_its_experts_or_of_none():
    assert make_layout().objectives == (FLOW_MATCHING,) * 3
    with pytest.raises(ValueError, match="2 objectives for 3 experts"):
        make_layout(objectives=(FLOW_MATCHING, EPSILON))
