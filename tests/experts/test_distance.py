"""Distances between sets of features, each by another route than the one that computes it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from benchmarks.small.distance import floor, frechet_distance, frechet_of_gaussians, sliced_wasserstein
from paris.coordinator.report.distances import kernel_distance, precision_recall


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def skewed(seed, rows, width):
    """Rows of correlated features with a mean of their own."""
    return normal(seed, rows, width) @ normal(seed + 1, width, width) + normal(seed + 2, width)


def test_of_two_gaussians_on_a_line_it_is_the_squares_of_both_differences():
    assert frechet_of_gaussians(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[25.0]])) == (
        pytest.approx(3.0**2 + (5.0 - 2.0) ** 2)
    )


def test_of_gaussians_with_common_axes_it_is_the_sum_over_the_axes():
    axes, _ = np.linalg.qr(normal(0, 5, 5))
    deviations1, deviations2, shift = np.abs(normal(1, 5)), np.abs(normal(2, 5)), normal(3, 5)
    cov1, cov2 = ((axes * deviations**2) @ axes.T for deviations in (deviations1, deviations2))
    expected = (shift**2).sum() + ((deviations1 - deviations2) ** 2).sum()
    assert frechet_of_gaussians(np.zeros(5), cov1, shift, cov2) == pytest.approx(expected)


def test_the_distance_is_that_of_a_general_matrix_square_root():
    first, second = skewed(0, 40, 6), skewed(10, 50, 6)
    cov1, cov2 = np.cov(first.T), np.cov(second.T)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(cov1 + cov2 - 2 * sqrtm(cov1 @ cov2).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [5, 200])
def test_the_distance_is_that_of_singular_values_too_even_where_covariances_are_singular(rows):
    # tr (C1 C2)^1/2 is the nuclear norm of X1 X2', the centred rows, over root (N - 1)(M - 1).
    first, second = skewed(0, rows, 12), skewed(7, rows + 1, 12)
    centred1, centred2 = first - first.mean(0), second - second.mean(0)
    cross = np.linalg.norm(centred1 @ centred2.T, "nuc") / np.sqrt((rows - 1) * rows)
    spread = (centred1**2).sum() / (rows - 1) + (centred2**2).sum() / rows
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + spread - 2 * cross
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-4)


def test_the_kernel_distance_is_its_definition_pair_by_pair():
    first, second = skewed(0, 7, 4), skewed(3, 6, 4)

    def k(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 4 + 1) ** 3

    within1 = np.mean([k(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j])
    within2 = np.mean([k(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j])
    across = np.mean([k(x, y) for x in first for y in second])
    assert kernel_distance(first, second) == pytest.approx(within1 + within2 - 2 * across)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average():
    found = [kernel_distance(normal([0, i], 8, 3), normal([1, i], 12, 3)) for i in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0 < max(found)


def test_precision_and_recall_are_what_balls_around_rows_cover():
    data, samples = normal(0, 30, 3), normal(1, 30, 3) + 0.8

    def covered(point, rows):
        return any(
            np.linalg.norm(point - row) <= sorted(np.linalg.norm(rows - row, axis=1))[3]  # 0 is the row itself
            for row in rows
        )

    found = precision_recall(data, samples)
    assert found.precision == pytest.approx(np.mean([covered(sample, data) for sample in samples]))
    assert found.recall == pytest.approx(np.mean([covered(row, samples) for row in data]))


def test_a_missing_half_of_the_data_shows_in_recall_and_not_in_precision():
    here, there = normal(0, 100, 2), normal(1, 100, 2) + 50
    found = precision_recall(np.concatenate([here, there]), here)
    assert found.precision == 1
    assert found.recall == 0.5
    assert precision_recall(here, there) == (0, 0)


def test_sliced_wasserstein_of_a_shift_is_the_shift_seen_from_a_random_direction():
    rows, shift = skewed(0, 50, 8), normal(5, 8)
    expected = np.linalg.norm(shift) / np.sqrt(8)
    assert sliced_wasserstein(rows, rows + shift, num_directions=20_000) == pytest.approx(expected, rel=0.02)


def test_sliced_wasserstein_on_a_line_moves_the_least():
    few, many = np.array([[0.0], [10.0]]), np.array([[1.0], [2.0], [12.0], [7.0]])
    # 1 and 2 come from 0, 7 and 12 from 10, each half of a point's weight.
    assert sliced_wasserstein(few, many) == pytest.approx(np.sqrt((1 + 4 + 9 + 4) / 4))
    assert sliced_wasserstein(few, few) == 0


def test_the_floor_of_data_against_data_falls_with_the_number_of_rows():
    data, reference = normal(0, 2000, 10), normal(1, 2000, 10)
    found = [floor(data, reference, num_rows) for num_rows in (50, 200, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[2] < 0.1 * found[0]
    assert floor(data, reference, 50) == found[0]
