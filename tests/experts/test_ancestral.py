import pytest
import torch
from closed_forms import gaussian, text
from tiny_sampling import draw

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing, drawn_weights

PRIOR = torch.tensor([[0.2, 0.3, 0.5]]).log()
MEANS = (-2.0, 0.0, 2.0)


def three():
    return [gaussian(mean, 0.1) for mean in MEANS]


def no_router(x, times):
    raise AssertionError("the router was asked")


def test_a_component_is_where_its_share_of_the_unit_interval_is():
    """Against a walk along the shares, row by row."""
    generator = torch.Generator().manual_seed(0)
    logits, draws = torch.randn(200, 5, generator=generator), torch.rand(200, generator=generator)
    expected = []
    for row, drawn in zip(logits.double().softmax(1).tolist(), draws.tolist(), strict=True):
        k = 0
        while drawn >= row[k]:
            drawn, k = drawn - row[k], k + 1
        expected.append(k)
    assert drawn_weights(logits, draws).argmax(1).tolist() == expected
    assert drawn_weights(logits, draws).sum(1).eq(1).all()


def test_the_largest_draw_that_a_float_can_hold_is_still_a_component():
    almost_one = torch.nextafter(torch.ones(1), torch.zeros(1))
    assert drawn_weights(torch.tensor([[0.1, 0.2, -90.0]]), almost_one).sum().item() == 1


def test_probabilities_that_are_not_finite_draw_nobody():
    with pytest.raises(SamplingError, match="answer is not finite"):
        drawn_weights(torch.tensor([[0.0, 1.0], [torch.nan, 0.0]]), torch.rand(2))


def test_components_come_in_the_proportions_that_the_prompt_gives_them():
    posterior = PromptPosterior(PRIOR.expand(4000, 3), PRIOR)
    made = draw(
        three(), no_router, Prompts(text(4000), posterior=posterior), range(4000), num_steps=1, routing="ancestral"
    )
    mean = made.mean(dim=(1, 2, 3))
    shares = [(mean - at).abs().lt(1).float().mean().item() for at in MEANS]
    assert shares == pytest.approx(PRIOR.exp()[0].tolist(), abs=0.03)


def test_each_picture_is_the_one_that_its_expert_draws_alone_from_the_same_seed():
    posterior, steps = PromptPosterior(PRIOR.expand(12, 3), PRIOR), []
    settings = {"num_steps": 5, "solver": "heun"}
    made = draw(
        three(),
        no_router,
        Prompts(text(12), posterior=posterior),
        range(12),
        routing="ancestral",
        on_step=steps.append,
        **settings,
    )
    chosen = steps[0].weights.argmax(1)
    assert len(set(chosen.tolist())) == 3
    assert all(torch.equal(step.weights, steps[0].weights) for step in steps)
    for k, expert in enumerate(three()):
        alone = draw([expert], None, text(12), range(12), **settings)
        torch.testing.assert_close(made[chosen == k], alone[chosen == k])


def test_the_noise_of_a_seed_does_not_depend_on_the_routing():
    one = [gaussian(0.5, 0.3)]
    posterior = PromptPosterior(torch.zeros(3, 1), torch.zeros(1, 1))
    drawn = draw(one, None, Prompts(text(3), posterior=posterior), [4, 5, 6], num_steps=3, routing="ancestral")
    torch.testing.assert_close(drawn, draw(one, None, text(3), [4, 5, 6], num_steps=3, routing="top1"))


def test_without_a_prompt_router_the_router_is_asked_once_at_pure_noise():
    asked = []

    def router(x, times):
        asked.append(times[0].item())
        return PRIOR.expand(len(x), 3)

    steps = []
    draw(three(), router, text(40), range(40), num_steps=6, routing="ancestral", on_step=steps.append)
    assert asked == [1.0]
    assert len(set(steps[0].weights.argmax(1).tolist())) == 3


def test_below_a_time_the_picture_itself_decides():
    asked, steps = [], []

    def router(x, times):
        asked.append(times[0].item())
        return torch.tensor([[0.0, 9.0, 0.0]]).expand(len(x), 3)

    posterior = PromptPosterior(torch.tensor([[-90.0, -90.0, 0.0]]).expand(2, 3), torch.zeros(1, 3))
    rule = Routing(max_experts=1, ancestral=True, redecide_below=0.6)
    draw(
        three(), router, Prompts(text(2), posterior=posterior), [0, 1], num_steps=4, routing=rule, on_step=steps.append
    )
    assert asked == [0.5, 0.25]
    assert [step.weights.argmax(1).tolist() for step in steps] == [[2, 2]] * 4


def test_only_experts_at_hand_are_drawn():
    posterior, steps = PromptPosterior(PRIOR.expand(50, 3), PRIOR), []
    present = {0: gaussian(-2.0, 0.1), 2: gaussian(2.0, 0.1)}
    draw(
        present,
        no_router,
        Prompts(text(50), posterior=posterior),
        range(50),
        num_steps=1,
        routing="ancestral",
        on_step=steps.append,
    )
    assert steps[0].weights.shape == (50, 2)
    assert steps[0].weights[:, 0].mean().item() == pytest.approx(0.2 / 0.7, abs=0.2)


def test_one_seed_a_picture_is_needed_to_draw_with():
    posterior, noise = PromptPosterior(PRIOR.expand(2, 3), PRIOR), torch.zeros(2, 2, 3, 3)
    with pytest.raises(SamplingError, match="each of 2 pictures, and was given 0 seeds"):
        draw(three(), no_router, Prompts(text(2), posterior=posterior), (), latents=noise, routing="ancestral")
