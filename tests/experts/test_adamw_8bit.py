from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from paris.experts.errors import MissingModuleError
from paris.experts.training.adamw import AdamW, AdamW8Bit, read_moments
from paris.experts.training.config import BaseTrainingConfig
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep
from paris.experts.weights.checkpoint import load_tensors, save_tensors, specs_of

CONFIG = BaseTrainingConfig(
    steps=50, batch_size=1, learning_rate=0.01, weight_decay=0.1, grad_clip=None, moments="8bit"
)
SHAPES = {"large": (80, 64), "small": (7,)}


@pytest.fixture
def library() -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")


def make_parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()}


def feed(optimizer: AdamW | AdamW8Bit, parameters: dict[str, nn.Parameter], steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in parameters.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator) + 0.5
        with torch.no_grad():
            optimizer.update(list(parameters), step, CONFIG.learning_rate_at(step), torch.tensor(2.0))


@pytest.mark.usefixtures("library")
def test_moments_in_8_bits_lead_to_nearly_the_same_weights_in_a_quarter_of_the_memory() -> None:
    exact, coarse = make_parameters(), make_parameters()
    start = {name: parameter.detach().clone() for name, parameter in exact.items()}
    optimizers = AdamW(exact, CONFIG), AdamW8Bit(coarse, CONFIG)
    for optimizer, parameters in zip(optimizers, (exact, coarse), strict=True):
        feed(optimizer, parameters, range(20))
    assert torch.equal(exact["small"], coarse["small"])
    moved, apart = (exact["large"] - start["large"]).abs().mean(), (exact["large"] - coarse["large"]).abs().mean()
    assert apart < 0.1 * moved
    sizes = [sum(t.nbytes for name, t in o.state.items() if name.endswith("large")) for o in optimizers]
    assert sizes[1] < 0.26 * sizes[0] + 8 * 20  # the scales of 20 blocks, twice


@pytest.mark.usefixtures("library")
def test_moments_of_8_bits_are_read_as_the_values_that_they_stand_for() -> None:
    exact, coarse = make_parameters(), make_parameters()
    optimizers = AdamW(exact, CONFIG), AdamW8Bit(coarse, CONFIG)
    for optimizer, parameters in zip(optimizers, (exact, coarse), strict=True):
        feed(optimizer, parameters, range(5))
    for name, shape in SHAPES.items():
        moments = [read_moments(optimizer.state.__getitem__, name) for optimizer in optimizers]
        for true, read in zip(*moments, strict=True):
            assert read.shape == shape
            assert (read - true).norm() < 0.05 * true.norm()


@pytest.mark.usefixtures("library")
def test_moments_in_8_bits_are_saved_and_restored_to_the_same_bits(tmp_path: Path) -> None:
    def make_state() -> TrainState:
        torch.manual_seed(1)
        return TrainState(nn.Linear(80, 64), CONFIG)

    def train(state: TrainState, steps: range) -> None:
        for step in steps:
            state.zero_grad()
            state.model(torch.randn(3, 80, generator=torch.Generator().manual_seed(step))).square().sum().backward()
            TrainStep(state, MicroBatch(1)).update()

    whole, first, second = make_state(), make_state(), make_state()
    train(whole, range(8))
    train(first, range(5))
    saved = {}
    for file, tensors in first.tensors().items():
        save_tensors(tmp_path / file, tensors)
        saved[file] = load_tensors(tmp_path / file, specs_of(second.tensors()[file]))
    assert saved["optimizer"]["exp_avg.weight"].dtype == torch.uint8
    second.restore(5, lambda file: saved[file].items())
    train(second, range(5, 8))
    for file, tensors in whole.tensors().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.tensors()[file][name]), name


def test_a_library_that_is_not_installed_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingModuleError, match=r"bitsandbytes.*pip install 'paris-swarm\[eightbit\]'"):
        TrainState(nn.Linear(3, 2), CONFIG)
