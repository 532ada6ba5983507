from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from paris.experts.errors import TrainingError
from paris.experts.training.config import OptimizerConfig
from paris.experts.training.learner import Learner, check_weights

CONFIG = OptimizerConfig(
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


def make_learner(**changes: object) -> Learner:
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).reshape(2, 3) / 10)
    return Learner(model, CONFIG.model_copy(update=changes))


def feed(learner: Learner, steps: torch.Tensor) -> None:
    for gradient in steps:
        learner.model.weight.grad = gradient.clone()
        learner.apply_gradients()


def test_a_step_is_adamw_as_the_paper_writes_it() -> None:
    learner, steps = make_learner(grad_clip=None), gradients(12, (2, 3))
    weight = learner.model.weight.detach().double().clone()
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    feed(learner, steps)
    for number, gradient in enumerate(steps.double(), start=1):
        rate = CONFIG.learning_rate_at(number - 1)
        m = 0.8 * m + 0.2 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        m_hat, v_hat = m / (1 - 0.8**number), v / (1 - 0.95**number)
        weight = weight - rate * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * weight)
    torch.testing.assert_close(learner.model.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_a_gradient_is_clipped_to_the_largest_norm() -> None:
    clipped, scaled = make_learner(grad_clip=0.5), make_learner(grad_clip=None)
    steps = 10 * gradients(3, (2, 3))
    feed(clipped, steps)
    feed(scaled, torch.stack([gradient * (0.5 / gradient.norm()) for gradient in steps]))
    torch.testing.assert_close(clipped.parts()["optimizer"], scaled.parts()["optimizer"], rtol=1e-4, atol=1e-6)


def test_a_restored_learner_goes_on_to_the_same_bits() -> None:
    steps = gradients(9, (2, 3))
    whole, first, second = make_learner(), make_learner(), make_learner()
    feed(whole, steps)
    feed(first, steps[:5])
    saved = {
        part: {name: tensor.clone() for name, tensor in tensors.items()} for part, tensors in first.parts().items()
    }
    second.restore(5, saved)
    feed(second, steps[5:])
    assert second.step == 9
    for part, tensors in whole.parts().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.parts()[part][name])


def test_weights_that_a_gradient_broke_are_named_with_their_step() -> None:
    learner = make_learner()
    feed(learner, gradients(2, (2, 3)))
    check_weights(learner)
    feed(learner, torch.full((1, 2, 3), math.inf))
    with pytest.raises(TrainingError, match="after step 2: 'weight' holds a value that is not finite"):
        check_weights(learner)
