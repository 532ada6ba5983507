"""The paired bootstrap and the spectra, against figures that follow from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paris.coordinator.verify.spectra import Spectra, drawn_layers
from paris.coordinator.verify.statistics import Resampled, gain_over, lower_bound, upper_bound

ROWS, SAMPLES = 9, 40
LOSSES = torch.linspace(0.5, 2.0, ROWS)


def test_the_first_mean_is_of_all_rows_and_the_others_lie_between_the_least_and_the_most():
    means = Resampled({0: ROWS, 3: 2}, seed=1, samples=SAMPLES).log_means(LOSSES, 0).exp()
    assert means.dtype == torch.float64
    assert means.shape == (1 + SAMPLES,)
    assert float(means[0]) == pytest.approx(1.25)
    assert 0.5 <= float(means.min()) < float(means.max()) <= 2.0
    assert len(set(means.tolist())) > SAMPLES // 2


def test_a_resampling_draws_as_many_rows_as_there_are():
    """Means of n drawn rows scatter as 1/sqrt(n) of the rows do."""
    many = torch.arange(400.0)
    means = Resampled({0: 400}, seed=1, samples=2000).log_means(many, 0).exp()[1:]
    assert float(means.std()) == pytest.approx(float(many.std(unbiased=False)) / 20, rel=0.1)


def test_all_models_are_resampled_by_the_same_rows_so_that_their_difficulty_cancels():
    resampled = Resampled({0: ROWS}, seed=1, samples=SAMPLES)
    gain = gain_over({0: LOSSES}, {0: LOSSES * 0.25}, resampled, 0)
    torch.testing.assert_close(gain, torch.full((1 + SAMPLES,), 0.75, dtype=torch.float64))


def test_the_seed_and_the_cluster_decide_the_rows():
    def means(seed, cluster):
        return Resampled({0: ROWS, 1: ROWS}, seed, SAMPLES).log_means(LOSSES, cluster).tolist()

    assert means(1, 0) == means(1, 0)
    assert means(1, 0) != means(2, 0)
    assert means(1, 0) != means(1, 1)


def test_bounds_are_quantiles_of_the_resamplings_without_the_figure_itself():
    values = torch.cat([torch.tensor([1e9]), torch.arange(101.0)]).double()
    assert lower_bound(values, 0.9) == pytest.approx(10)
    assert upper_bound(values, 0.9) == pytest.approx(90)
    assert lower_bound(-values, 0.9) == pytest.approx(-90)


def weights(seed: int, layers: int = 3, *, with_text: bool = True) -> dict[str, torch.Tensor]:
    dice, size, found = np.random.default_rng(seed), 4, {}
    for layer in range(layers):
        for name in ("attn", "cross_attn")[: 2 if with_text else 1]:
            found[f"layers.{layer}.{name}.in_proj_weight"] = dice.normal(size=(3 * size, size))
            found[f"layers.{layer}.{name}.out_proj.weight"] = dice.normal(size=(size, size))
        found[f"layers.{layer}.mlp.0.weight"] = dice.normal(size=(2 * size, size))
        found[f"layers.{layer}.mlp.2.weight"] = dice.normal(size=(size, 2 * size))
    return {name: torch.tensor(value) for name, value in found.items()}


def spectra(tensors: dict[str, torch.Tensor], layers=(0, 2)) -> Spectra:
    return Spectra.of(tensors, tensors.__getitem__, layers)


@pytest.mark.parametrize("with_text", [True, False])
def test_spectra_are_the_singular_values_of_the_products_that_no_renaming_changes(with_text):
    tensors = weights(1, with_text=with_text)
    expected = []
    for layer in (0, 2):
        part = {name.removeprefix(f"layers.{layer}."): value.numpy() for name, value in tensors.items()}
        for name in ("attn", "cross_attn")[: 2 if with_text else 1]:
            query, key, value = np.split(part[f"{name}.in_proj_weight"], 3)
            expected += [query.T @ key, part[f"{name}.out_proj.weight"] @ value]
        expected.append(part["mlp.2.weight"] @ part["mlp.0.weight"])
    found = spectra(tensors).values
    assert len(found) == len(expected) == (10 if with_text else 6)
    for one, product in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), np.linalg.svd(product, compute_uv=False), rtol=1e-9)


def test_the_distance_is_relative_to_the_mean_way_from_the_start():
    def of(*values):
        return Spectra(tuple(torch.tensor(value, dtype=torch.float64) for value in values))

    start = of([1.0, 0.0], [5.0, 5.0])
    one, other = of([4.0, 0.0], [5.0, 8.0]), of([1.0, 5.0], [5.0, 5.0])
    expected = (34**0.5 / ((3 + 5) / 2) + 3 / (3 / 2)) / 2
    assert one.distance(other, start) == pytest.approx(expected)
    assert one.distance(one, start) == 0
    assert of([2.0, 0.0]).distance(of([0.0, 0.0]), of([1.0, 0.0])) == pytest.approx(2.0)
    assert start.distance(start, start) == 0


def test_layers_are_drawn_in_secret_and_all_of_a_small_model_are_taken():
    initial = {**weights(1, layers=12), "embed.weight": torch.zeros(1)}
    assert drawn_layers(initial, seed=1, most=12) == drawn_layers(initial, seed=1, most=99) == list(range(12))
    some = [drawn_layers(initial, seed, 4) for seed in range(6)]
    assert all(one == sorted(set(one)) and len(one) == 4 for one in some)
    assert len({tuple(one) for one in some}) > 1
    assert len(set().union(*some)) > 8
    assert drawn_layers(initial, 3, 4) == some[3]
