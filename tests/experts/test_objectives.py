"""Gaussian data, x0 ~ N(m, s^2): every prediction and the whole way of sampling are known in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tiny_sampling import draw
from torch import nn

from paris.experts.errors import SettingsError
from paris.experts.models.model import TextContext
from paris.experts.objectives.objectives import Objective, as_velocity, damped
from paris.experts.objectives.schedules import signal_and_noise

MEAN, SPREAD = 0.5, 0.3
FLOW = Objective()
EPSILONS = [Objective(kind="epsilon", schedule=name) for name in ("cosine", "linear")]
every_epsilon = pytest.mark.parametrize("objective", EPSILONS, ids=lambda o: o.schedule)


def exact_velocity(x, t):
    """E[noise - x0 | x] on the straight path: see test_flow_matching.py for the regression that finds it."""
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    return (t - (1 - t) * SPREAD**2) / variance * (x - (1 - t) * MEAN) - MEAN


class ExactNoise(nn.Module):
    """The best noise predictor of the Gaussian: `-sigma` times the score of `N(alpha m, alpha^2 s^2 + sigma^2)`."""

    config = SimpleNamespace(in_channels=1, image_size=4)

    def __init__(self, objective, error=0.0):
        super().__init__()
        self.objective, self.error = objective, error

    def project_text(self, text, text_mask=None):
        return TextContext((), (), None)

    def forward(self, x, t, text):
        self.asked_at = t
        alpha, sigma = (part.reshape(-1, 1, 1, 1) for part in signal_and_noise(self.objective.schedule, t))
        found = x.detach().requires_grad_(True)
        with torch.enable_grad():
            mean, variance = alpha * MEAN, alpha**2 * SPREAD**2 + sigma**2
            log_density = -((found - mean) ** 2) / (2 * variance)
            score = torch.autograd.grad(log_density.sum(), found)[0]
        return -sigma * score + self.error


def points(count=64, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(count, generator=generator, dtype=dtype)
    x0, noise = (torch.randn(count, 1, 4, 4, generator=generator, dtype=dtype) for _ in range(2))
    return MEAN + SPREAD * x0, noise, t


def test_flow_matching_is_left_as_it_is():
    model = ExactNoise(EPSILONS[0])
    assert as_velocity(model, FLOW) is model
    x0, noise, t = points()
    torch.testing.assert_close(FLOW.add_noise(x0, noise, t), x0 + t.reshape(-1, 1, 1, 1) * (noise - x0))
    assert FLOW.loss(noise - x0, x0, noise).item() == 0


@every_epsilon
def test_an_epsilon_expert_sees_the_mixture_of_its_schedule_and_is_judged_by_the_noise(objective):
    x0, noise, t = points()
    alpha, sigma = (part.reshape(-1, 1, 1, 1) for part in signal_and_noise(objective.schedule, t))
    torch.testing.assert_close(objective.add_noise(x0, noise, t), alpha * x0 + sigma * noise)
    assert objective.loss(noise, x0, noise).item() == 0
    rows = objective.loss(noise + 0.5, x0, noise, per_row=True)
    torch.testing.assert_close(rows, torch.full((64,), 0.25))
    torch.testing.assert_close(objective.loss(noise + 0.5, x0, noise), rows.mean())


@every_epsilon
def test_the_best_answer_to_the_epsilon_loss_is_the_score(objective):
    # Least squares of the noise on what is shown, at one time: the slope must be sigma over the variance.
    generator = torch.Generator().manual_seed(1)
    t = torch.full((200_000,), 0.4, dtype=torch.float64)
    x0 = MEAN + SPREAD * torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    x = objective.add_noise(x0, noise, t)
    slope = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), noise).solution[0, 0].item()
    alpha, sigma = (part[0].item() for part in signal_and_noise(objective.schedule, t))
    assert slope == pytest.approx(sigma / (alpha**2 * SPREAD**2 + sigma**2), rel=0.01)


@every_epsilon
def test_the_exact_noise_predictor_becomes_the_exact_velocity(objective):
    x0, noise, t = points(256, torch.float64)
    t = 0.98 * t
    x = FLOW.add_noise(x0, noise, t)
    found = as_velocity(ExactNoise(objective), objective)(x, t, None)
    torch.testing.assert_close(found, exact_velocity(x, t.reshape(-1, 1, 1, 1)), rtol=1e-6, atol=1e-6)


@every_epsilon
def test_an_expert_is_asked_where_its_own_path_has_the_same_ratio_of_signal_to_noise(objective):
    model, t = ExactNoise(objective), torch.linspace(0, 0.99, 100)
    as_velocity(model, objective)(torch.zeros(100, 1, 4, 4), t, None)
    alpha, sigma = signal_and_noise(objective.schedule, model.asked_at)
    torch.testing.assert_close(alpha * t, sigma * (1 - t), atol=2e-6, rtol=0)


@every_epsilon
def test_answers_are_finite_and_bounded_at_both_ends_however_wrong_the_expert(objective):
    t = torch.tensor([0.0, 0.5, 0.8, 0.9, 0.999, 1.0], dtype=torch.float64)
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for error in (0.0, 1.0, 1e6):
        expert = as_velocity(ExactNoise(objective, error), objective)
        found = expert(x, t, None)
        assert found.isfinite().all()
        seen = x / torch.hypot(1 - t, t).reshape(-1, 1, 1, 1)
        estimates = (expert.model(seen, expert.model.asked_at, None) - found).abs()
        assert estimates.max() <= 20 * (1 + 1e-6)
    torch.testing.assert_close(estimates[1:3], torch.full_like(estimates[1:3], 20.0))
    assert estimates[3:].max() <= 1
    x, found = torch.randn(3, 1, 4, 4), as_velocity(ExactNoise(objective, 1e6), objective)
    assert found(x, torch.tensor([0.0, 0.999, 1.0]), None).isfinite().all()
    assert as_velocity(ExactNoise(objective), objective)(x.half(), torch.rand(3), None).dtype == torch.half


def test_only_estimates_that_cannot_be_right_are_damped_and_only_late():
    small, large = torch.full((1, 1, 4, 4), 0.9), torch.full((1, 1, 4, 4), 3.0)
    rows = torch.cat([small, large, large])
    found = damped(rows, torch.tensor([0.95, 0.95, 0.8]))
    torch.testing.assert_close(found, torch.cat([small, large / 9, large]))


def test_the_damping_is_the_factor_that_leaves_the_least_error():
    # Signal of mean square one plus error: least squares of the signal on the sum, for one long row.
    generator = torch.Generator().manual_seed(2)
    signal = torch.randn(1, 200_000, generator=generator)
    estimate = signal + 2 * torch.randn(1, 200_000, generator=generator)
    best = (signal * estimate).sum() / estimate.square().sum()
    torch.testing.assert_close(damped(estimate, torch.ones(1)), best * estimate, rtol=0.02, atol=0.02)


@every_epsilon
def test_sampling_through_an_epsilon_expert_draws_the_gaussian(objective):
    expert = as_velocity(ExactNoise(objective), objective)
    rows = 128
    drawn = draw([expert], None, torch.zeros(rows, 1, 1), range(rows), num_steps=100, solver="heun")
    values = drawn.double().flatten()
    # 2048 values: standard errors are s / 45 of the mean and s / 64 of the spread; the steps' own error is below both.
    assert values.mean().item() == pytest.approx(MEAN, abs=4 * SPREAD / 45)
    assert values.std().item() == pytest.approx(SPREAD, abs=4 * SPREAD / 64)


def test_experts_of_all_objectives_draw_the_same_picture_from_the_same_noise():
    class ExactFlow(ExactNoise):
        def forward(self, x, t, text):
            return exact_velocity(x, t.reshape(-1, 1, 1, 1))

    experts = [ExactFlow(FLOW)] + [as_velocity(ExactNoise(o), o) for o in EPSILONS]
    pictures = [draw([e], None, torch.zeros(4, 1, 1), range(4), num_steps=30) for e in experts]
    # At t = 1 itself nothing of the data can be read off the noise, and the first steps differ by that.
    for picture in pictures[1:]:
        torch.testing.assert_close(picture, pictures[0], atol=1e-2, rtol=0)


def test_an_unknown_objective_is_refused_by_name():
    with pytest.raises(SettingsError, match="kind = 'score'"):
        Objective.from_settings({"kind": "score"})
    with pytest.raises(SettingsError, match="schedule = 'sigmoid'"):
        Objective.from_settings({"kind": "epsilon", "schedule": "sigmoid"})
