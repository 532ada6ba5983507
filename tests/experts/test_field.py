import pytest
import torch
from closed_forms import Closed, by_text, gaussian, said, text
from tiny_models import TINY_ROUTER, tiny_expert, tiny_router
from tiny_sampling import draw, field_of

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.sampling import prompts as sampling_prompts
from paris.experts.sampling.experts import ExpertSource
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing


class Shelf(ExpertSource):
    """A bank of experts with room for a few, as a sampling run sees one; notes what it is asked, in order."""

    def __init__(self, experts, room):
        self.experts, self.room = dict(enumerate(experts)), room
        self.held, self.notes = [], []

    @property
    def config(self):
        return self.experts[0].config

    @property
    def resident(self):
        return self.held

    def keys(self):
        return self.experts.keys()

    def __getitem__(self, number):
        self.notes.append(("get", number, number in self.resident))
        self._fetch(number)
        return self.experts[number]

    def prefetch(self, number):
        self.notes.append(("prefetch", number, number in self.resident))
        self._fetch(number)

    def _fetch(self, number):
        if number not in self.resident:
            self.held = [*self.held, number][-self.room :]


def inputs(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, states = torch.randn(rows, 3, 8, 8, generator=generator), torch.randn(rows, 5, 10, generator=generator)
    mask = torch.arange(5) < torch.randint(1, 6, (rows, 1), generator=generator)
    return x, states, mask, (torch.randn(1, 5, 10, generator=generator), torch.ones(1, 5, dtype=torch.bool))


@pytest.mark.parametrize("routing", [Routing(), Routing(max_experts=None), Routing(max_experts=None, threshold=0.3)])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_field_is_the_explicit_loop_over_rows_and_experts(routing, scale):
    experts, router = [tiny_expert(k) for k in range(3)], tiny_router()
    x, states, mask, negative = inputs(5)
    field = field_of(experts, router, Prompts(states, mask, negative=negative), guidance=scale, routing=routing)
    velocity, weights = field.at(x, 0.6)
    t = torch.tensor([0.6])
    with torch.no_grad():
        for row in range(5):
            one = slice(row, row + 1)
            torch.testing.assert_close(weights[one], routing.weights(router(x[one], t)), atol=1e-5, rtol=1e-4)
            expected = torch.zeros(3, 8, 8)
            for k in weights[row].nonzero()[:, 0].tolist():
                with_text = experts[k](x[one], t, states[one], mask[one])[0]
                without = experts[k](x[one], t, *negative)[0]
                expected += weights[row, k] * (without + scale * (with_text - without))
            torch.testing.assert_close(velocity[row], expected, atol=1e-4, rtol=1e-4)


def test_a_router_that_sees_the_prompt_is_given_it_and_the_prompt_router_is_not_counted_on_top():
    experts, seeing = [tiny_expert(k) for k in range(3)], TINY_ROUTER.model_copy(update={"text_embed_dim": 10})
    router = tiny_router(1, seeing)
    x, states, mask, _ = inputs(4)
    posterior = PromptPosterior(torch.randn(4, 3), torch.randn(1, 3))
    weights = field_of(experts, router, Prompts(states, mask, posterior=posterior), routing="full").at(x, 0.6).weights
    with torch.no_grad():
        torch.testing.assert_close(weights, router(x, torch.full((4,), 0.6), states, mask).softmax(1))


def test_each_expert_runs_once_on_the_rows_that_chose_it_with_their_negatives():
    experts = [by_text() for _ in range(3)]
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 2, 0]), 3) * 50.0
    states, negative = said(1.0, 2.0, 3.0, 4.0), (said(-1.0, -2.0, -3.0, -4.0), None)
    field = field_of(
        experts, lambda x, t: logits, Prompts(states, negative=negative), guidance=Guidance(scale=2.0), routing="top1"
    )
    velocity, _ = field.at(torch.zeros(4, 2, 3, 3), 0.5)
    torch.testing.assert_close(velocity[:, 0, 0, 0], torch.tensor([3.0, 6.0, 9.0, 12.0]))
    assert [expert.rows_asked for expert in experts] == [[6], [], [2]]
    assert (field.num_evaluations, field.num_expert_rows, field.num_router_rows) == (1, 8, 4)


def test_text_is_projected_once_an_expert_with_the_null_prompt_as_one_row():
    projected = []

    class Counting(Closed):
        def project_text(self, text, text_mask=None):
            projected.append(len(text))
            return super().project_text(text, text_mask)

    experts = [Counting(lambda x, t, context: -x) for _ in range(2)]
    negative = (text(1), None)
    draw(
        experts,
        lambda x, t: torch.zeros(len(x), 2),
        Prompts(text(4), negative=negative),
        range(4),
        num_steps=5,
        guidance=3.0,
    )
    assert projected == [5, 5]


def test_tokens_that_count_nowhere_are_left_out_and_nothing_changes():
    expert, states = tiny_expert(), torch.randn(3, 5, 10)
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    x = torch.randn(3, 3, 8, 8)
    seen = []
    projects = expert.project_text
    expert.project_text = lambda states, mask=None: seen.append((states.shape[1], mask)) or projects(states, mask)
    velocity = field_of([expert], None, Prompts(states, mask)).at(x, 0.3).velocity
    with torch.no_grad():
        torch.testing.assert_close(velocity, expert(x, torch.full((3,), 0.3), projects(states, mask)))
    field_of([expert], None, Prompts(states, mask[:, :1].expand(-1, 5))).at(x, 0.3)
    assert seen[0][0] == 3
    assert seen[1] == (5, None)


def test_an_expert_that_draws_some_pictures_and_speaks_for_all_of_others_is_fetched_once():
    shelf = Shelf([gaussian(float(k), 0.5) for k in range(4)], room=1)
    field = field_of(
        shelf,
        lambda x, t: torch.zeros(len(x), 4),
        Prompts(text(64), negative=(text(1), None), posterior=PromptPosterior(torch.zeros(64, 4), torch.zeros(1, 4))),
        guidance=Guidance(scale=2.0, away_from="ensemble"),
        routing="ancestral",
        uniforms=torch.rand(64, generator=torch.Generator().manual_seed(0)),
    )
    field.at(torch.randn(64, 2, 3, 3), 0.7)
    assert [number for note, number, _ in shelf.notes if note == "get"] == [0, 1, 2, 3]
    assert field.num_expert_rows == 2 * 64


def test_experts_at_hand_run_first_and_the_next_is_fetched_before_the_present_one_computes():
    shelf = Shelf([gaussian(float(k), 0.5) for k in range(4)], room=2)
    field = field_of(shelf, lambda x, t: torch.zeros(len(x), 4), text(2), routing="full")
    field.at(torch.randn(2, 2, 3, 3), 1.0)
    assert [note[:2] for note in shelf.notes] == [
        ("get", 0),
        ("prefetch", 1),
        ("get", 1),
        ("prefetch", 2),
        ("get", 2),
        ("prefetch", 3),
        ("get", 3),
    ]
    shelf.notes.clear()
    field.at(torch.randn(2, 2, 3, 3), 0.9)
    assert [number for kind, number, _ in shelf.notes if kind == "get"] == [2, 3, 0, 1]
    assert all(present for kind, _, present in shelf.notes if kind == "get")


def test_a_picture_is_the_same_to_the_bit_whatever_was_resident():
    experts, router = [tiny_expert(k) for k in range(3)], tiny_router()
    x, states, mask, negative = inputs(4, seed=2)
    prompts, settings = Prompts(states, mask, negative), {"guidance": 5.0, "routing": "full"}
    shelf = Shelf(experts, room=1)
    for number in (2, 0, 1):
        shelf._fetch(number)
        banked = field_of(shelf, router, prompts, **settings).at(x, 0.4).velocity
        assert torch.equal(banked, field_of(experts, router, prompts, **settings).at(x, 0.4).velocity)


def test_text_of_experts_that_left_or_do_not_fit_is_computed_again(monkeypatch):
    counts = []

    class Counting(Closed):
        def project_text(self, text, text_mask=None):
            counts.append(1)
            return super().project_text(text, text_mask)

    def asked(source, evaluations):
        counts.clear()
        field = field_of(source, lambda x, t: torch.zeros(len(x), 3), text(2), routing="full")
        for _ in range(evaluations):
            field.at(torch.zeros(2, 2, 3, 3), 0.5)
        return len(counts)

    experts = [Counting(lambda x, t, context: -x) for _ in range(3)]
    assert asked(experts, 2) == 3
    assert asked(Shelf(experts, room=2), 2) == 4
    monkeypatch.setattr(sampling_prompts, "MAX_CACHED_BYTES", 40)
    assert asked(experts, 2) == 6


def test_pictures_and_text_of_different_numbers_are_refused():
    field = field_of([gaussian(0.0, 0.5)], None, text(2))
    with pytest.raises(SamplingError, match="3 pictures for 2 rows of text"):
        field.at(torch.zeros(3, 2, 3, 3), 0.5)


def test_what_the_text_is_to_experts_that_have_left_is_forgotten_within_a_step():
    """Keys and values of all experts together would be as large as an expert."""
    held = []

    class Noting(Closed):
        def project_text(self, text, text_mask=None):
            held.append(len(field._texts._kept))
            return super().project_text(text, text_mask)

    shelf = Shelf([Noting(lambda x, t, _: x) for _ in range(6)], room=2)
    field = field_of(shelf, lambda x, t: torch.zeros(len(x), 6), text(3), routing="full")
    for t in (1.0, 0.5):
        field.at(torch.zeros(3, 2, 3, 3), t)
    assert len(held) >= 10
    assert max(held) <= 2
