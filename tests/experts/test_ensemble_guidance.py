"""Guidance away from the ensemble: against the mean over experts computed by hand."""

import pytest
import torch
from closed_forms import Closed, by_text, gaussian, said, text
from tiny_models import TINY_ROUTER, tiny_expert
from tiny_sampling import draw, field_of

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.models.router import Router
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts

POSTERIOR = torch.tensor([0.5, 0.2, 0.3])
OWN = torch.tensor([[0.3, 0.3, 0.4]])
AWAY = Guidance(scale=2.0, away_from="ensemble")


def router(x, _times):
    return POSTERIOR.log().expand(len(x), 3)


def constant(value):
    return Closed(lambda x, _t, _context: torch.full_like(x, value))


def posterior(rows):
    return PromptPosterior(OWN.log().expand(rows, 3), OWN.log())


def field(rows, experts=None, guidance=AWAY, known=None, **options):
    uniforms = torch.rand(rows, generator=torch.Generator().manual_seed(7))
    prompts = Prompts(text(rows), negative=(text(1), None), posterior=known or posterior(rows))
    options = {"routing": "ancestral", "uniforms": uniforms} | options
    return field_of(experts or [constant(float(k)) for k in range(3)], router, prompts, guidance, **options)


def test_it_is_drawn_from_the_posterior_whichever_expert_draws_the_picture():
    rows = 30_000
    velocity, weights = field(rows).at(torch.zeros(rows, 2, 3, 3), 0.5)
    own = weights.argmax(1)
    negative = 2 * own - velocity[:, 0, 0, 0]  # v = negative + 2 (own - negative)
    for k in range(3):
        shares = [(negative[own == k] == other).float().mean().item() for other in range(3)]
        assert shares == pytest.approx(POSTERIOR.tolist(), abs=0.02)


def test_on_average_it_is_classifier_free_guidance_of_the_whole_mixture():
    rows, experts = 20_000, [gaussian(mean, 0.5) for mean in (-1.0, 0.5, 2.0)]
    x = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(1)).expand(rows, 2, 3, 3)
    times = torch.full((rows,), 0.6)
    velocity, weights = field(rows, experts).at(x, 0.6)
    each = torch.stack([expert(x[:1], times[:1], None)[0] for expert in experts])
    mixture = (POSTERIOR[:, None, None, None] * each).sum(0)
    own = (weights[:, :, None, None, None] * each).sum(1)
    torch.testing.assert_close((velocity - own).mean(0), (own - mixture).mean(0), atol=0.03, rtol=0)


def test_the_drawn_expert_is_asked_about_the_row_s_negative_prompt():
    negative = (said(-1.0, -2.0, -3.0, -4.0), None)
    made = field_of(
        [by_text() for _ in range(3)],
        router,
        Prompts(said(1.0, 2.0, 3.0, 4.0), negative=negative, posterior=posterior(4)),
        guidance=AWAY,
        routing="ancestral",
        uniforms=torch.rand(4),
    )
    torch.testing.assert_close(made.at(torch.zeros(4, 2, 3, 3), 0.5).velocity[:, 0, 0, 0], 3 * torch.arange(1.0, 5.0))


def test_it_costs_one_expert_a_row_and_the_router_where_the_negative_prompt_is_asked():
    for every, asked in ((1, 6), (2, 3), (4, 2)):
        made = field(5, guidance=AWAY.model_copy(update={"every": every}))
        for step in range(6):
            made.at(torch.zeros(5, 2, 3, 3), 1 - step / 6)
        assert made.num_expert_rows == 5 * (6 + asked)
        assert made.num_router_rows == 5 * asked


def test_of_some_experts_one_of_these_speaks_and_a_negative_prompt_counts():
    rows = 20_000
    away = torch.tensor([[0.1, 0.8, 0.1]])
    with_negative = PromptPosterior(OWN.log().expand(rows, 3), OWN.log(), away.log())
    experts = {0: constant(0.0), 2: constant(2.0)}
    for known, wanted in ((None, POSTERIOR), (with_negative, POSTERIOR * away[0] / OWN[0])):
        velocity, weights = field(rows, experts, known=known).at(torch.zeros(rows, 2, 3, 3), 0.5)
        own = 2 * weights.argmax(1)  # columns are those of experts 0 and 2
        negative = 2 * own - velocity[:, 0, 0, 0]
        share = (negative == 2).float().mean().item()
        assert share == pytest.approx((wanted[2] / (wanted[0] + wanted[2])).item(), abs=0.02)


def test_top_2_and_the_ensemble_ask_the_router_once_at_a_point():
    made = field(5, routing="top2")
    for step in range(6):
        made.at(torch.zeros(5, 2, 3, 3), 1 - step / 6)
    assert (made.num_router_rows, made.num_expert_rows) == (5 * 6, 5 * 6 * 3)


def test_with_one_expert_it_is_guidance_away_from_that_expert():
    expert, negative = tiny_expert(), (torch.randn(1, 5, 10), None)
    x, states = torch.randn(3, 3, 8, 8), torch.randn(3, 5, 10)
    both = [
        field_of(
            [expert],
            None,
            Prompts(states, negative=negative),
            uniforms=torch.rand(3),
            guidance=guidance,
            routing="top1",
        )
        for guidance in (AWAY, Guidance(scale=2.0))
    ]
    velocities = [one.at(x, 0.7).velocity for one in both]
    torch.testing.assert_close(*velocities, atol=1e-5, rtol=1e-4)


class ByText(Router):
    """Says what the first three numbers of the text say."""

    def forward(self, x, t, text=None, text_mask=None):
        return text[:, 0, :3].expand(len(x), 3)


def test_a_router_that_sees_the_prompt_is_told_the_negative_one():
    seeing = ByText(TINY_ROUTER.model_copy(update={"text_embed_dim": 4}))
    prompt, null = torch.zeros(50, 1, 4), torch.zeros(1, 1, 4)
    prompt[..., 2], null[..., 0] = 90.0, 90.0
    made = field_of(
        [constant(float(k)) for k in range(3)],
        seeing,
        Prompts(prompt, negative=(null, None)),
        uniforms=torch.rand(50),
        guidance=AWAY,
        routing="top1",
    )
    velocity, weights = made.at(torch.zeros(50, 2, 3, 3), 0.4)
    assert weights.argmax(1).eq(2).all()
    assert velocity.eq(0 + 2 * (2 - 0)).all()


def test_a_picture_follows_from_its_seed_whatever_its_neighbours():
    experts = [gaussian(mean, 0.5) for mean in (-1.0, 0.5, 2.0)]
    given = {"guidance": AWAY, "num_steps": 4, "routing": "ancestral"}

    def prompts(rows):
        return Prompts(text(rows), negative=(text(1), None), posterior=posterior(rows))

    alone = [draw(experts, router, prompts(1), [seed], **given) for seed in range(6)]
    together = draw(experts, router, prompts(6), range(6), **given)
    torch.testing.assert_close(torch.cat(alone), together)


def test_without_a_number_to_draw_with_it_says_so():
    with pytest.raises(SamplingError, match="for each of 2 pictures, and was given 0 seeds"):
        field(2, routing="top1", uniforms=None)
