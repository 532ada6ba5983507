"""What a training needs at least, against the models themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import PRESETS, ROUTER_PRESETS, ModelConfig
from paris.experts.models.router import Router
from paris.experts.training.memory import counted_for_backward
from paris.experts.training.needs import (
    least_disk_bytes,
    least_memory_bytes,
    memory_bytes,
    num_parameters,
    num_router_parameters,
    saved_bytes,
    state_bytes,
)

ROWS = 3
SMALL = {"image_size": 16, "in_channels": 4, "patch_size": 2, "hidden_size": 64, "num_layers": 2, "num_heads": 4}
SHAPES = [SMALL, {**SMALL, "num_layers": 3, "patch_size": 4, "mlp_ratio": 2.0}, {**SMALL, "hidden_size": 96}]


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_are_counted_as_the_model_has_them(name):
    with torch.device("meta"):
        model = DiTExpert(PRESETS[name])
    assert num_parameters(PRESETS[name]) == sum(parameter.numel() for parameter in model.parameters())


def test_a_card_of_4_gb_cannot_train_the_published_expert():
    xl = PRESETS["dit-xl-2"]
    assert 12 * 10**9 < least_memory_bytes(xl) < 14 * 10**9
    assert 8 * 10**9 < least_memory_bytes(xl, "8bit") < 10 * 10**9
    assert least_disk_bytes(xl) > 30 * 10**9
    assert 9.6 * 10**9 < state_bytes(xl) < 9.8 * 10**9
    assert least_disk_bytes(xl, leg_snapshots=4) - least_disk_bytes(xl, leg_snapshots=3) == state_bytes(xl)
    assert least_memory_bytes(PRESETS["dit-emoji-4"]) < 2**30


@pytest.mark.parametrize("name", ROUTER_PRESETS)
@pytest.mark.parametrize("text_width", [None, 20])
def test_a_routers_parameters_are_counted_as_it_has_them(name, text_width):
    config = ROUTER_PRESETS[name].model_copy(update={"text_embed_dim": text_width})
    with torch.device("meta"):
        router = Router(config)
    assert num_router_parameters(config) == sum(parameter.numel() for parameter in router.parameters())


def really_saved(model: ModelConfig, *, checkpointing: bool = False, precision: str = "float32") -> int:
    """Bytes that autograd keeps for some rows, as it says itself, without what it keeps once for all rows."""
    return saved_for(ROWS + 1, model, checkpointing, precision) - saved_for(1, model, checkpointing, precision)


def saved_for(rows: int, model: ModelConfig, checkpointing: bool, precision: str) -> int:
    torch.manual_seed(0)
    expert = initial_expert(model, 0)
    expert.checkpointing = checkpointing
    side = model.image_size
    x = torch.randn(rows, model.in_channels, side, side)
    text = torch.randn(rows, model.max_text_tokens, model.text_embed_dim)
    with counted_for_backward(expert) as count:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            out = expert(x, torch.rand(rows), text)
        out.float().square().mean()
    return count.num_bytes


@pytest.mark.parametrize(("width", "tokens"), [(32, 8), (0, 0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_forward_pass_keeps_is_what_autograd_counts(shape, width, tokens):
    model = ModelConfig(**shape, text_embed_dim=width, max_text_tokens=tokens)
    for precision in ("float32", "bfloat16"):
        kept = really_saved(model, precision=precision)
        assert saved_bytes(model, ROWS, precision=precision) == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_with_checkpointing_a_layer_is_kept_only_while_it_is_recomputed(shape):
    model = ModelConfig(**shape, text_embed_dim=32, max_text_tokens=8)
    one, many = (model.model_copy(update={"num_layers": layers}) for layers in (1, 9))
    kept = [really_saved(each, checkpointing=True) for each in (one, many)]
    estimated = [saved_bytes(each, ROWS, checkpointing=True) for each in (one, many)]
    assert estimated[1] - estimated[0] == pytest.approx(kept[1] - kept[0], rel=0.01)


def test_more_rows_and_more_precision_take_more_memory_and_checkpointing_less():
    model = PRESETS["dit-b-2"]
    assert least_memory_bytes(model) == memory_bytes(model, 1, checkpointing=True)
    assert memory_bytes(model, 8) > memory_bytes(model, 4) > memory_bytes(model, 4, checkpointing=True)
    assert memory_bytes(model, 64) > memory_bytes(model, 64, precision="bfloat16")
    assert memory_bytes(model, 4) > memory_bytes(model, 4, moments="8bit")


def test_the_estimate_of_memory_is_near_what_a_benchmark_measured():
    """`benchmarks.train_step` measured the peak of a process that trains dit-b-2; an estimate may be a third higher."""
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "train_step.json"
    found = json.loads(results.read_text("utf-8"))
    measured, settings = found["rows"]["peak_memory_bytes"]["plain"], found["settings"]
    assert 0.75 < memory_bytes(PRESETS[settings["preset"]], settings["batch"]) / measured < 1.33
