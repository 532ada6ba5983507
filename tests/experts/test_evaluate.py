from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from paris.experts.training.evaluate import heldout_losses, stratified_draws


def rows_and_text(count: int = 5) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, 2, 3, 4, generator=generator)
    return rows, (torch.randn(count, 6, 7, generator=generator), torch.ones(count, 6, dtype=torch.bool))


class Oracle(nn.Module):
    """Knows the rows by their text, and so answers exactly, but for an error of a known size."""

    def __init__(self, rows: Tensor, states: Tensor, error: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows, self.states, self.error = rows, states, error

    def forward(self, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        own = (text[:, None] - self.states[None]).abs().sum((2, 3)).argmin(1)
        # x_t = x0 + t (noise - x0), so the velocity is (x_t - x0) / t.
        return (x - self.rows[own]) / t[:, None, None, None] + self.error


def test_a_model_that_knows_the_answer_has_no_loss_and_a_known_error_its_square() -> None:
    rows, text = rows_and_text()
    exact = heldout_losses(Oracle(rows, text[0]), rows, text, seed=3, num_draws=4)
    assert exact.shape == (5,)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact, torch.zeros(5, dtype=torch.float64), atol=1e-6, rtol=0)
    wrong = heldout_losses(Oracle(rows, text[0], error=0.5), rows, text, seed=3, num_draws=4)
    torch.testing.assert_close(wrong, torch.full((5,), 0.25, dtype=torch.float64), atol=1e-3, rtol=0)


class Zero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_a_model_that_says_nothing_has_the_loss_of_noise_and_data() -> None:
    rows, text = rows_and_text()
    found = heldout_losses(Zero(), rows, text, seed=3, num_draws=400)
    torch.testing.assert_close(found, 1.0 + rows.double().square().mean((1, 2, 3)), atol=0.1, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_losses_do_not_depend_on_how_rows_are_batched(batch_size: int) -> None:
    rows, text = rows_and_text()
    whole = heldout_losses(Zero(), rows, text, seed=3, num_draws=3)
    torch.testing.assert_close(heldout_losses(Zero(), rows, text, seed=3, num_draws=3, batch_size=batch_size), whole)
    first = heldout_losses(Zero(), rows[:2], (text[0][:2], text[1][:2]), seed=3, num_draws=3)
    torch.testing.assert_close(first, whole[:2])
    assert not torch.equal(heldout_losses(Zero(), rows, text, seed=4, num_draws=3), whole)


def test_one_time_falls_into_each_stratum() -> None:
    for row in range(20):
        times, noise = stratified_draws(0, row, 8, (2, 3, 4))
        assert (times * 8).long().tolist() == list(range(8))
        assert noise.shape == (8, 2, 3, 4)


def test_common_random_numbers_make_a_difference_of_losses_far_less_noisy() -> None:
    rows, text = rows_and_text()
    near, far = Oracle(rows, text[0], error=0.50), Oracle(rows, text[0], error=0.55)
    for seed in range(5):
        gap = heldout_losses(far, rows, text, seed=seed) - heldout_losses(near, rows, text, seed=seed)
        torch.testing.assert_close(gap, torch.full((5,), 0.55**2 - 0.5**2, dtype=torch.float64), atol=1e-3, rtol=0)
