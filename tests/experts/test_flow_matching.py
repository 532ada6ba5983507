import torch

from paris.experts.objectives.flow import interpolate, velocity
from paris.experts.objectives.objectives import FLOW_MATCHING


def test_velocity_is_the_time_derivative_of_the_path():
    x0, noise = torch.randn(4, 2, 3, 5), torch.randn(4, 2, 3, 5)
    t = torch.rand(4)
    _, slope = torch.autograd.functional.jvp(lambda time: interpolate(x0, noise, time), t, torch.ones_like(t))
    torch.testing.assert_close(slope, velocity(x0, noise))


def test_the_path_starts_at_the_data_and_ends_in_noise():
    x0, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(interpolate(x0, noise, torch.zeros(2)), x0)
    assert torch.equal(interpolate(x0, noise, torch.ones(2)), noise)


def test_the_loss_is_zero_only_for_the_true_velocity_and_its_gradient_points_there():
    x0, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    assert FLOW_MATCHING.loss(noise - x0, x0, noise).item() == 0
    guess = torch.randn(3, 2, 4, 4, requires_grad=True)
    FLOW_MATCHING.loss(guess, x0, noise).backward()
    torch.testing.assert_close(guess.grad, 2 * (guess.detach() - (noise - x0)) / guess.numel())


def test_losses_by_row_average_to_the_loss():
    x0, noise, guess = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    rows = FLOW_MATCHING.loss(guess, x0, noise, per_row=True)
    assert rows.shape == (3,)
    torch.testing.assert_close(rows.mean(), FLOW_MATCHING.loss(guess, x0, noise))
    torch.testing.assert_close(rows[1:2].mean(), FLOW_MATCHING.loss(guess[1:2], x0[1:2], noise[1:2]))


def test_the_best_velocity_of_gaussian_data_is_what_regression_on_the_path_finds():
    # x0 ~ N(m, s^2): least squares of noise - x0 on x_t must give the closed form used in test_sample.py.
    m, s, t = 0.7, 0.4, 0.6
    generator = torch.Generator().manual_seed(0)
    x0 = m + s * torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    x = interpolate(x0, noise, torch.full((400_000,), t))
    design = torch.cat([x, torch.ones_like(x)], dim=1)
    slope, offset = torch.linalg.lstsq(design, velocity(x0, noise)).solution[:, 0].tolist()
    variance = (1 - t) ** 2 * s**2 + t**2
    expected = (t - (1 - t) * s**2) / variance
    assert abs(slope - expected) < 0.01
    assert abs(offset - (-m - expected * (1 - t) * m)) < 0.01
