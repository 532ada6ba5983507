import math
from itertools import pairwise

import pytest
import torch
from closed_forms import Closed, gaussian, text
from tiny_models import tiny_expert, tiny_router
from tiny_sampling import draw

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import initial_noise


def test_a_single_data_point_is_reached_in_any_number_of_steps():
    for steps in (1, 3):
        x = draw([gaussian(0.3, 0.0)], None, text(4), range(4), num_steps=steps)
        torch.testing.assert_close(x, torch.full((4, 2, 3, 3), 0.3), atol=1e-5, rtol=0)


def test_experts_weighed_by_the_posterior_move_as_the_score_of_the_whole_data_says():
    # Two clusters, N(-1, 0.3^2) and N(1.5, 0.2^2), of weights 0.7 and 0.3 over all pixels together.
    clusters = [(-1.0, 0.3, 0.7), (1.5, 0.2, 0.3)]

    def log_densities(x, t):
        columns = []
        for mean, deviation, weight in clusters:
            variance = (1 - t) ** 2 * deviation**2 + t**2
            squares = (x - ((1 - t) * mean).reshape(-1, 1, 1, 1)).square().flatten(1).sum(1)
            columns.append(math.log(weight) - 0.5 * squares / variance - x[0].numel() / 2 * torch.log(variance))
        return torch.stack(columns, dim=1)

    path = []
    draw(
        [gaussian(mean, deviation) for mean, deviation, _ in clusters],
        log_densities,
        text(6),
        range(6),
        num_steps=40,
        routing="full",
        on_step=path.append,
    )
    for before, after in pairwise(path[5:31]):
        x = before.x.clone().requires_grad_()
        t = torch.full((6,), before.t)
        (score,) = torch.autograd.grad(log_densities(x, t).logsumexp(1).sum(), x)
        expected = (-before.t * score - x) / (1 - before.t)
        moved = (after.x - before.x) / (after.t - before.t)
        torch.testing.assert_close(moved, expected.detach(), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("routing", ["top1", "top2", "full"])
def test_identical_experts_sample_as_one(routing):
    expert, states, mask = tiny_expert(), torch.randn(4, 5, 10), torch.ones(4, 5, dtype=torch.bool)
    prompts = Prompts(states, mask)
    one = draw([expert], None, prompts, range(4), num_steps=3)
    many = draw([expert] * 3, tiny_router(), prompts, range(4), num_steps=3, routing=routing)
    torch.testing.assert_close(many, one, atol=1e-5, rtol=1e-5)


def negative_text():
    return torch.randn(1, 5, 10, generator=torch.Generator().manual_seed(5)), torch.ones(1, 5, dtype=torch.bool)


def test_a_picture_does_not_depend_on_its_neighbours():
    experts, router = [tiny_expert(k) for k in range(3)], tiny_router()
    states = torch.randn(6, 5, 10, generator=torch.Generator().manual_seed(2))
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2, 4, 5])[:, None]
    together = draw(experts, router, Prompts(states, mask, negative_text()), range(6), num_steps=4, guidance=4.0)
    for row in (0, 3, 5):
        alone = draw(
            experts, router, Prompts(states[[row]], mask[[row]], negative_text()), [row], num_steps=4, guidance=4.0
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


def test_each_expert_runs_once_a_step_on_the_rows_that_chose_it():
    experts = [gaussian(float(k), 0.5) for k in range(3)]
    choice = torch.tensor([0, 0, 2, 0])
    logits = torch.nn.functional.one_hot(choice, 3) * 10.0
    draw(experts, lambda x, t: logits, text(4), range(4), num_steps=2, routing="top1")
    assert [expert.rows_asked for expert in experts] == [[3, 3], [], [1, 1]]


def test_a_large_batch_goes_through_an_expert_in_parts_and_comes_out_the_same():
    large, small = gaussian(0.5, 0.4), gaussian(0.5, 0.4)
    made = draw([large], None, text(600), range(600), num_steps=2)
    assert large.rows_asked == [256, 256, 88] * 2
    torch.testing.assert_close(made[590:], draw([small], None, text(10), range(590, 600), num_steps=2))


def test_guidance_of_one_is_no_guidance_and_costs_nothing():
    expert = gaussian(0.2, 0.5)
    plain = draw([expert], None, text(3), range(3), num_steps=2)
    negative = (torch.ones(1, 1, 4), None)
    guided = draw([expert], None, Prompts(text(3), negative=negative), range(3), num_steps=2, guidance=1.0)
    assert torch.equal(plain, guided)
    assert set(expert.rows_asked) == {3}


@pytest.mark.parametrize("num_negative", [1, 2])
def test_guidance_leads_from_the_negative_to_the_prompt_and_beyond(num_negative):
    expert = Closed(lambda x, t, context: context.keys[0][:, :1, :1, None].expand_as(x))
    states = torch.tensor([1.0, 3.0]).reshape(2, 1, 1).expand(2, 1, 4)
    away = torch.tensor([0.5, -1.0])[:num_negative]
    negative = (away.reshape(-1, 1, 1).expand(-1, 1, 4), None)
    x = draw([expert], None, Prompts(states, negative=negative), [1, 2], num_steps=1, guidance=3.0)
    velocity = away + 3.0 * (torch.tensor([1.0, 3.0]) - away)
    expected = initial_noise([1, 2], (2, 3, 3)) - velocity.reshape(2, 1, 1, 1)
    torch.testing.assert_close(x, expected)
    assert expert.rows_asked == [4]


def test_masks_of_prompt_and_negative_may_differ_or_be_absent():
    expert, states = tiny_expert(), torch.randn(2, 5, 10)
    every = torch.ones(2, 5, dtype=torch.bool)
    for mask, away_mask in ((None, None), (every, None), (None, every[:1]), (every, every[:1])):
        made = draw(
            [expert], None, Prompts(states, mask, negative=(states[:1], away_mask)), [0, 1], num_steps=1, guidance=2.0
        )
        if mask is None and away_mask is None:
            first = made
        torch.testing.assert_close(made, first)


def test_experts_that_are_not_at_hand_leave_their_weight_to_the_others():
    present = {0: gaussian(1.0, 0.0), 2: gaussian(-1.0, 0.0)}
    logits = torch.tensor([[0.0, 50.0, 1.0]])
    steps = []
    draw(present, lambda x, t: logits, text(1), [0], num_steps=1, routing="full", on_step=steps.append)
    torch.testing.assert_close(steps[0].weights, torch.tensor([[0.0, 1.0]]).softmax(1))


def test_what_the_prompt_says_is_added_to_what_the_router_says():
    steps = []
    experts = [gaussian(0.0, 0.5)] * 3
    logits, evidence = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[2.0, -1.0, 0.0]])
    posterior = PromptPosterior(evidence + 3.0, torch.tensor([[3.0, 3.0, 3.0]]))
    draw(
        experts,
        lambda x, t: logits,
        Prompts(text(1), posterior=posterior),
        [0],
        num_steps=1,
        routing="full",
        on_step=steps.append,
    )
    expected = logits.softmax(1) * evidence.exp()
    torch.testing.assert_close(steps[0].weights, expected / expected.sum())


def test_steps_are_told_in_order_down_to_zero_and_an_error_in_them_ends_the_sampling():
    steps = []
    made = draw([gaussian(0.0, 0.5)], None, text(2), [0, 1], num_steps=4, on_step=steps.append)
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert [step.t for step in steps] == [0.75, 0.5, 0.25, 0.0]
    assert [step.t_start for step in steps] == [1.0, 0.75, 0.5, 0.25]
    assert torch.equal(steps[-1].x, made)

    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw([gaussian(0.0, 0.5)], None, text(2), [0, 1], on_step=stop)


def test_a_picture_that_is_changed_on_the_way_is_what_the_run_continues_from():
    def half(step):
        if step.number == 1:
            step.x = torch.full_like(step.x, 0.5)

    expert = gaussian(0.0, 0.5)
    ended_there = draw([expert], None, text(2), [0, 1], num_steps=2, on_step=half)
    assert torch.equal(ended_there, torch.full((2, 2, 3, 3), 0.5))
    went_on = draw([expert], None, text(2), [0, 1], num_steps=4, on_step=half)
    assert not torch.equal(went_on, ended_there)
    assert torch.equal(went_on[0], went_on[1])


def test_latents_take_the_place_of_what_the_seeds_would_draw():
    expert, noise = gaussian(0.2, 0.5), initial_noise(range(3), (2, 3, 3))
    drawn = draw([expert], None, text(3), range(3), num_steps=3)
    assert torch.equal(draw([expert], None, text(3), (), num_steps=3, latents=noise.double()), drawn)
    with pytest.raises(SamplingError, match=r"latents have shape \[2, 2, 3, 3\], \[3, 2, 3, 3\] is needed"):
        draw([expert], None, text(3), range(3), latents=noise[:2])


def test_a_shift_moves_the_times_at_which_the_experts_are_asked():
    expert = gaussian(0.2, 0.5)
    draw([expert], None, text(1), [0], num_steps=4, time_shift=3.0)
    assert expert.times_asked == pytest.approx([3 * t / (1 + 2 * t) for t in (1.0, 0.75, 0.5, 0.25)])


def test_seeds_may_be_generators_and_equal_seeds_make_equal_noise():
    noise = initial_noise([4, 5, 4], (2, 3))
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    drawn = initial_noise([torch.Generator().manual_seed(9)], (2, 3))
    assert torch.equal(drawn[0], torch.randn(2, 3, generator=torch.Generator().manual_seed(9)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"routing": "top0"}, "'top0'.*top1, top2.*full, threshold"),
        ({"solver": "rk4"}, "'rk4'.*euler.*heun.*ab2"),
        ({"num_steps": 0}, "num_steps = 0"),
        ({"seeds": [1]}, "1 seeds for 2 rows"),
        ({"seeds": []}, "0 seeds for 2 rows"),
        ({"guidance": 2.0}, "guidance_scale 2.0 needs"),
        (
            {"guidance": 2.0, "prompts": Prompts(text(2), negative=(torch.zeros(3, 1, 4), None))},
            "3 negative prompts for 2 rows",
        ),
    ],
)
def test_a_bad_argument_is_named(change, message):
    settings = {"prompts": text(2), "seeds": [1, 2], "num_steps": 1} | change
    with pytest.raises((SamplingError, SettingsError), match=message):
        draw([gaussian(0.0, 0.5)], None, **settings)


def test_experts_and_router_that_do_not_fit_are_named():
    three = [gaussian(0.0, 0.5)] * 3
    with pytest.raises(SamplingError, match="3 experts need a router"):
        draw(three, None, text(1), [0])
    with pytest.raises(SamplingError, match="no expert to sample"):
        draw({}, None, text(1), [0])
    with pytest.raises(SamplingError, match="router knows 2 experts, there is no expert 2"):
        draw(three, lambda x, t: torch.zeros(len(x), 2), text(1), [0], num_steps=1)
