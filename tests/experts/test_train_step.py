from __future__ import annotations

import math

import pytest
import torch
from tiny_models import tiny_expert
from torch import nn

from paris.experts.errors import TrainingError
from paris.experts.objectives.objectives import Objective
from paris.experts.training.batches import Batch
from paris.experts.training.config import BaseTrainingConfig
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep

CONFIG = BaseTrainingConfig(
    steps=20,
    batch_size=1,
    learning_rate=0.05,
    warmup_steps=4,
    final_learning_rate=0.2,
    weight_decay=0.1,
    beta1=0.8,
    beta2=0.95,
)


def gradients(num_steps: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(num_steps, *shape, generator=torch.Generator().manual_seed(1))


def make_state(**changes: object) -> TrainState:
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).reshape(2, 3) / 10)
    return TrainState(model, CONFIG.model_copy(update=changes))


def feed(state: TrainState, steps: torch.Tensor) -> None:
    for gradient in steps:
        state.model.weight.grad = gradient.clone()
        TrainStep(state, MicroBatch(1)).update()


@pytest.mark.parametrize("objective", [Objective(), Objective(kind="epsilon")])
def test_steps_are_those_of_torchs_own_optimizer_loop(objective: Objective) -> None:
    config = CONFIG.model_copy(update={"ema_decay": 0.3, "grad_clip": 0.1, "learning_rate": 1e-3})
    state, plain = TrainState(tiny_expert(), config), tiny_expert()
    step = TrainStep(state, MicroBatch(2), objective)
    adamw = torch.optim.AdamW(plain.parameters(), betas=(0.8, 0.95), weight_decay=0.1)
    average = {name: parameter.detach().clone() for name, parameter in plain.named_parameters()}
    for number in range(5):
        generator = torch.Generator().manual_seed(number)
        x0, noise = (torch.randn(5, 3, 8, 8, generator=generator) for _ in range(2))
        batch = Batch(x0, noise, torch.rand(5, generator=generator), torch.randn(5, 4, 10, generator=generator), None)
        loss = objective.loss(plain(objective.add_noise(x0, noise, batch.t), batch.t, batch.text), x0, noise)
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
        adamw.param_groups[0]["lr"] = config.learning_rate_at(number)
        adamw.step()
        keep = min(0.3, (1 + number) / (10 + number))
        for name, parameter in plain.named_parameters():
            average[name] = keep * average[name] + (1 - keep) * parameter.detach()
        torch.testing.assert_close(step(batch), loss.detach())
    torch.testing.assert_close(state.model.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state.ema.average, average, rtol=1e-4, atol=1e-5)
    assert state.step == 5


def test_a_step_is_adamw_as_the_paper_writes_it() -> None:
    state, steps = make_state(grad_clip=None), gradients(12, (2, 3))
    weight = state.model.weight.detach().double().clone()
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    feed(state, steps)
    for number, gradient in enumerate(steps.double(), start=1):
        rate = CONFIG.learning_rate_at(number - 1)
        m = 0.8 * m + 0.2 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        m_hat, v_hat = m / (1 - 0.8**number), v / (1 - 0.95**number)
        weight = weight - rate * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * weight)
    torch.testing.assert_close(state.model.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_a_gradient_is_clipped_to_the_largest_norm() -> None:
    clipped, scaled = make_state(grad_clip=0.5), make_state(grad_clip=None)
    steps = 10 * gradients(3, (2, 3))
    feed(clipped, steps)
    feed(scaled, torch.stack([gradient * (0.5 / gradient.norm()) for gradient in steps]))
    torch.testing.assert_close(clipped.tensors()["optimizer"], scaled.tensors()["optimizer"], rtol=1e-4, atol=1e-6)


def test_a_restored_state_goes_on_to_the_same_bits() -> None:
    steps = gradients(9, (2, 3))
    whole, first, second = make_state(), make_state(), make_state()
    feed(whole, steps)
    feed(first, steps[:5])
    saved = {
        file: {name: tensor.clone() for name, tensor in tensors.items()} for file, tensors in first.tensors().items()
    }
    second.restore(5, lambda file: saved[file].items())
    feed(second, steps[5:])
    assert second.step == 9
    for file, tensors in whole.tensors().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.tensors()[file][name])


def test_weights_that_a_gradient_broke_are_named_with_their_step() -> None:
    state = make_state()
    feed(state, gradients(2, (2, 3)))
    state.check_finite()
    feed(state, torch.full((1, 2, 3), math.inf))
    with pytest.raises(TrainingError, match="after step 2: 'weight' holds a value that is not finite"):
        state.check_finite()
