"""Operations counted from shapes, against torch's count of the products that the modules really compute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from paris.experts.models.flops import encoder_flops, forward_flops, router_flops, step_flops
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import Router

ROWS = 2
SHAPES = [
    {"image_size": 16, "in_channels": 4, "patch_size": 2, "hidden_size": 64, "num_layers": 3, "num_heads": 4},
    {"image_size": 24, "in_channels": 3, "patch_size": 4, "hidden_size": 48, "num_layers": 1, "num_heads": 2},
    {"image_size": 8, "in_channels": 3, "patch_size": 8, "hidden_size": 32, "num_layers": 2, "num_heads": 1},
]


def counted(work: Callable[[], torch.Tensor]) -> tuple[int, torch.Tensor]:
    """Operations of matrix products; attention in its plain form, whose products the counter knows on every device."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        out = work()
    return counter.get_total_flops(), out


@pytest.mark.parametrize(("width", "tokens"), [(20, 7), (0, 0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_experts_operations_are_those_that_torch_counts(shape, width, tokens):
    model = ModelConfig(**shape, mlp_ratio=3.0, text_embed_dim=width, max_text_tokens=tokens)
    side = model.image_size
    with torch.device("meta"):
        expert = DiTExpert(model)
        x, t, text = (
            torch.randn(ROWS, model.in_channels, side, side),
            torch.rand(ROWS),
            torch.randn(ROWS, tokens, width),
        )
    forward, out = counted(lambda: expert(x, t, text))
    backward, _ = counted(lambda: out.square().mean().backward())
    assert ROWS * sum(forward_flops(model, tokens).values()) == forward
    assert step_flops(model, tokens, ROWS) == forward + backward


@pytest.mark.parametrize("text_width", [None, 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_routers_operations_are_those_that_torch_counts(shape, text_width):
    config = RouterConfig(**shape, num_clusters=5, text_embed_dim=text_width)
    with torch.device("meta"):
        router = Router(config)
        x = torch.randn(ROWS, config.in_channels, config.image_size, config.image_size)
        t, text = torch.rand(ROWS), None if text_width is None else torch.randn(ROWS, 7, text_width)
    forward, _ = counted(lambda: router(x, t, text))
    # torch's product of one output column is a vector product, which it does not count: K is 5 here.
    assert ROWS * router_flops(config) == forward


def test_a_plain_transformers_operations_are_those_that_torch_counts():
    with torch.device("meta"):
        layer = torch.nn.TransformerEncoderLayer(32, 2, 96, batch_first=True)
        model, x = torch.nn.TransformerEncoder(layer, 3), torch.randn(ROWS, 9, 32)
    forward, _ = counted(lambda: model(x))
    assert ROWS * encoder_flops(9, 32, 3, 96) == forward
