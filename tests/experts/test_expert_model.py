import json
from pathlib import Path

import pytest
import torch
from plain_paris import PlainExpert, PlainRouter, scramble
from tiny_models import TINY, TINY_ROUTER, tiny_expert, tiny_router

from paris.experts.errors import SamplingError
from paris.experts.models.initial import SeededInit
from paris.experts.models.layers import patchify, sincos_pos_embed, unpatchify
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import PRESETS, ROUTER_PRESETS
from paris.experts.models.router import Router, initial_router

PUBLISHED = json.loads((Path(__file__).parent / "published_layout.json").read_text())


def shapes(model):
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def test_xl_2_has_exactly_the_published_names_and_shapes():
    with torch.device("meta"):
        expert = DiTExpert(PRESETS["dit-xl-2"])
    assert shapes(expert) == PUBLISHED["expert_xl2"]
    assert sum(parameter.numel() for parameter in expert.parameters()) == 605_970_448


def test_router_b_2_has_exactly_the_published_names_and_shapes():
    with torch.device("meta"):
        router = Router(ROUTER_PRESETS["router-b-2"])
    assert shapes(router) == PUBLISHED["router_b2"]
    assert sum(parameter.numel() for parameter in router.parameters()) == 129_136_904


def test_b_2_has_118_6_million_parameters():
    with torch.device("meta"):
        expert = DiTExpert(PRESETS["dit-b-2"])
    assert sum(parameter.numel() for parameter in expert.parameters()) == 118_566_928


@pytest.mark.parametrize("shape", [{}, {"in_channels": 4, "image_size": 6, "patch_size": 2, "num_heads": 2}])
def test_the_expert_computes_what_a_plain_implementation_computes(shape):
    config = TINY.model_copy(update=shape)
    plain, ours = scramble(PlainExpert(config)), DiTExpert(config)
    ours.load_state_dict(plain.state_dict())
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, config.in_channels, config.image_size, config.image_size, generator=generator)
    t = torch.tensor([0.03, 0.9])
    text = torch.randn(2, 5, config.text_embed_dim, generator=generator)
    mask = torch.tensor([[True, True, True, False, False], [True, False, False, False, False]])
    torch.testing.assert_close(ours(x, t, text, mask), plain(x, t, text, mask), atol=2e-5, rtol=1e-4)


def test_the_expert_has_the_gradients_of_a_plain_implementation():
    plain, ours = scramble(PlainExpert(TINY)), DiTExpert(TINY)
    ours.load_state_dict(plain.state_dict())
    x, t, text = torch.randn(3, 3, 8, 8), torch.rand(3), torch.randn(3, 5, 10)
    mask = torch.ones(3, 5, dtype=torch.bool)
    for model in (plain, ours):
        model(x, t, text, mask).square().sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        scale = theirs[name].grad.abs().max().item()
        # Rounding alone reaches 5e-5 of the scale: the largest of 300 draws.
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=2e-4 * scale, rtol=2e-4, msg=name)


def test_the_router_computes_what_a_plain_implementation_computes():
    plain, ours = scramble(PlainRouter(TINY_ROUTER)), Router(TINY_ROUTER)
    ours.load_state_dict(plain.state_dict())
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.1, 1.0])
    torch.testing.assert_close(ours(x, t), plain(x, t), atol=2e-5, rtol=1e-4)


def test_a_router_that_sees_the_prompt_reads_its_counted_tokens_and_asks_for_them():
    router = scramble(Router(TINY_ROUTER.model_copy(update={"text_embed_dim": 10})))
    x, t, text = torch.randn(2, 3, 8, 8), torch.tensor([0.1, 1.0]), torch.randn(2, 5, 10)
    mask = torch.tensor([[True] * 5, [True, True] + [False] * 3])
    other = text.clone()
    other[1, 2:] = 1e3
    with torch.no_grad():
        logits = router(x, t, text, mask)
        assert torch.equal(router(x, t, other, mask), logits)
        torch.testing.assert_close(router.given(text, mask)(x, t), logits)
        assert not torch.allclose(router(x, t, -text, mask), logits)
        torch.testing.assert_close(router(x[1:], t[1:], text[1:, :2]), logits[1:])
        with pytest.raises(SamplingError, match="was given none"):
            router(x, t)
        with pytest.raises(SamplingError, match=r"have shape \[2, 5, 7\], the router takes \[B, L, 10\]"):
            router(x, t, torch.randn(2, 5, 7))


def test_text_projected_once_gives_the_same_velocity_and_can_be_picked_by_row():
    expert = tiny_expert()
    x, t, text = torch.randn(3, 3, 8, 8), torch.rand(3), torch.randn(3, 5, 10)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] + [False] * 4])
    with torch.no_grad():
        whole = expert(x, t, text, mask)
        context = expert.project_text(text, mask)
        rows = torch.tensor([2, 0])
        torch.testing.assert_close(expert(x, t, context), whole)
        torch.testing.assert_close(expert(x[rows], t[rows], context.rows(rows)), whole[rows])


def test_what_stands_in_masked_tokens_does_not_matter():
    expert = tiny_expert()
    x, t, text = torch.randn(1, 3, 8, 8), torch.rand(1), torch.randn(1, 5, 10)
    mask = torch.tensor([[True, True, False, False, False]])
    other = text.clone()
    other[:, 2:] = 1e3
    with torch.no_grad():
        assert torch.equal(expert(x, t, text, mask), expert(x, t, other, mask))


def test_an_untrained_expert_predicts_zero_velocity_and_learns_from_text_later():
    expert = initial_expert(TINY, 0)
    velocity = expert(torch.randn(2, 3, 8, 8), torch.rand(2), torch.randn(2, 5, 10))
    assert not velocity.any()
    assert not expert.layers[0].cross_attn.out_proj.weight.any()


def test_initial_weights_follow_from_the_seed_whatever_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        weights = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights.append(initial_expert(PRESETS["dit-emoji-4"], 7).state_dict())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = initial_expert(PRESETS["dit-emoji-4"], 8).state_dict()
    assert not torch.equal(weights[0]["patch_embed.weight"], other["patch_embed.weight"])


def test_initial_weights_of_a_layer_do_not_depend_on_how_many_layers_there_are():
    deeper = TINY.model_copy(update={"num_layers": 4})
    assert torch.equal(
        initial_expert(TINY, 3).layers[1].mlp[0].weight, initial_expert(deeper, 3).layers[1].mlp[0].weight
    )


def test_every_initial_parameter_is_finite_and_linear_layers_keep_variance():
    for model in (initial_expert(PRESETS["dit-emoji-4"], 0), initial_router(ROUTER_PRESETS["router-emoji-4"], 0)):
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
        weight = model.layers[0].mlp[0].weight
        assert weight.var().item() == pytest.approx(2 / sum(weight.shape), rel=0.05)


def test_init_weights_fills_every_parameter():
    reading = TINY_ROUTER.model_copy(update={"text_embed_dim": 10})
    for model in (DiTExpert(TINY), Router(TINY_ROUTER), Router(reading)):
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
        model.init_weights(SeededInit(model, 0))
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_patches_come_back_where_they_were_for_odd_numbers():
    x = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).reshape(2, 3, 6, 6)
    patches = patchify(x, 2)
    assert patches.shape == (2, 9, 12)
    assert torch.equal(patches[1, 4], x[1, :, 2:4, 2:4].flatten())
    channels_last = patches.reshape(2, 9, 3, 2, 2).permute(0, 1, 3, 4, 2).flatten(2)
    assert torch.equal(unpatchify(channels_last, 2, 3), x)


def test_positions_tell_all_tokens_apart():
    positions = sincos_pos_embed(24, 4)[0]
    distances = torch.cdist(positions, positions) + 10 * torch.eye(16)
    assert distances.min() > 0.1


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 3, 8, 16), (3, 8, 8)])
def test_a_picture_of_another_size_is_refused_with_both_sizes(shape):
    t = torch.rand(2)
    with pytest.raises(SamplingError, match=r"\[B, 3, 8, 8\].*run"):
        tiny_expert()(torch.randn(shape), t, torch.randn(2, 5, 10))
    with pytest.raises(SamplingError, match=r"\[B, 3, 8, 8\]"):
        tiny_router()(torch.randn(shape), t)


def test_text_of_another_width_is_refused():
    with pytest.raises(SamplingError, match=r"\[1, 5, 11\].*\[B, L, 10\]"):
        tiny_expert()(torch.randn(1, 3, 8, 8), torch.rand(1), torch.randn(1, 5, 11))


def test_a_bfloat16_expert_takes_and_returns_float32():
    expert = tiny_expert().to(torch.bfloat16)
    x, t, text = torch.randn(1, 3, 8, 8), torch.rand(1), torch.randn(1, 5, 10)
    mask = torch.tensor([[True, False, False, False, False]])
    with torch.no_grad():
        velocity = expert(x, t, text, mask)
        assert velocity.dtype == torch.float32
        torch.testing.assert_close(velocity, tiny_expert()(x, t, text, mask), atol=0.1, rtol=0.1)
