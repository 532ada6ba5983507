"""Rung 2 and the claimed loss on made-up weights: each bound may be met, and is refused when it is passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from verify_world import BOUNDS, MODEL

from paris.coordinator.verify.claims import check_claim
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.structure_rung import check_structure, expected_shapes, largest_file
from paris.experts.models.initial_weights import starting_expert

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def initial() -> Tensors:
    return {name: value.clone() for name, value in starting_expert(MODEL, 3, None, Path()).state_dict().items()}


def matrix_of(initial: Tensors) -> str:
    """Name of a matrix that does not start at zero."""
    return next(name for name, value in initial.items() if value.dim() > 1 and value.abs().max() > 0)


def halves(initial: Tensors) -> Tensors:
    return {name: value / 2 for name, value in initial.items()}


def checked(folder: Path, tensors: Tensors, initial: Tensors) -> Checks:
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "expert.safetensors")
    checks = Checks()
    case = SimpleNamespace(bounds=BOUNDS, candidate=folder / "expert.safetensors")
    file = check_structure(case, MODEL, initial, checks)
    name = matrix_of(initial)
    torch.testing.assert_close(file.read(name).reshape(-1), tensors[name].float().reshape(-1))
    return checks


def refused(folder: Path, tensors: Tensors, initial: Tensors) -> tuple[str, float]:
    with pytest.raises(CheckFailed) as failed:
        checked(folder, tensors, initial)
    return failed.value.check.name, failed.value.check.figure


def test_the_initial_weights_themselves_have_the_right_structure(tmp_path, initial):
    figures = {check.name: check.figure for check in checked(tmp_path, initial, initial).made}
    assert [name for name in figures if not name.startswith("header-")] == [
        "missing-tensors", "extra-tensors", "shapes", "dtypes", "readable", "finite", "smallest-norm", "largest-norm",
    ]  # fmt: skip
    assert figures["smallest-norm"] == pytest.approx(1)
    assert figures["largest-norm"] == pytest.approx(1)
    halved = {check.name: check.figure for check in checked(tmp_path, halves(initial), initial).made}
    assert halved["smallest-norm"] == halved["largest-norm"] == pytest.approx(0.5)
    assert expected_shapes(MODEL) == {name: tuple(value.shape) for name, value in initial.items()}


@pytest.mark.parametrize(("factor", "check"), [(0.21, None), (0.19, "smallest-norm"), (49, None), (51, "largest-norm")])
def test_a_matrix_may_shrink_and_grow_up_to_the_bounds(tmp_path, initial, factor, check):
    name = max(initial, key=lambda one: float(initial[one].square().mean()) if initial[one].dim() > 1 else 0.0)
    tensors = {**initial, name: initial[name] * factor}
    if check is None:
        checked(tmp_path, tensors, initial)
    else:
        assert refused(tmp_path, tensors, initial) == (check, pytest.approx(factor, rel=1e-3))


def test_a_vector_may_shrink_to_nothing_and_what_starts_at_zero_is_measured_by_a_floor(tmp_path, initial):
    vector = next(name for name, value in initial.items() if value.dim() == 1)
    checked(tmp_path, {**initial, vector: torch.zeros_like(initial[vector])}, initial)
    zero = next(name for name, value in initial.items() if not value.any())
    floor = BOUNDS.rms_floor * BOUNDS.max_rms_ratio
    checked(tmp_path, {**initial, zero: torch.full_like(initial[zero], 0.99 * floor)}, initial)
    above = {**initial, zero: torch.full_like(initial[zero], 1.01 * floor)}
    assert refused(tmp_path, above, initial) == ("largest-norm", pytest.approx(1.01 * BOUNDS.max_rms_ratio, rel=1e-3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_value_that_is_not_finite_is_named(tmp_path, initial, value):
    broken = {name: tensor.clone() for name, tensor in initial.items()}
    broken[matrix_of(initial)].view(-1)[-1] = value
    assert refused(tmp_path, broken, initial) == ("finite", 1)


def test_missing_and_added_tensors_and_those_of_another_shape_or_type_are_counted(tmp_path, initial):
    first, second, *_ = initial
    without = {name: value for name, value in initial.items() if name not in (first, second)}
    assert refused(tmp_path, without, initial) == ("missing-tensors", 2)
    assert refused(tmp_path, {**initial, "more": torch.zeros(1)}, initial) == ("extra-tensors", 1)
    assert refused(tmp_path, {**initial, first: torch.zeros(1)}, initial) == ("shapes", 1)
    assert refused(tmp_path, {**initial, first: initial[first].double()}, initial) == ("dtypes", 1)
    checked(tmp_path, {name: value.bfloat16() for name, value in initial.items()}, initial)


def test_the_largest_file_is_that_of_the_widest_allowed_type(initial):
    values = sum(value.numel() for value in initial.values())
    assert largest_file(MODEL, BOUNDS) == int(1.05 * (values * 4 + 256 * len(initial)))
    half = BOUNDS.model_copy(update={"allowed_dtypes": "BF16,F16"})
    assert largest_file(MODEL, half) == int(1.05 * (values * 2 + 256 * len(initial)))


@pytest.mark.parametrize(
    ("claimed", "figure"), [(1.0, 1.25), (1.25, 1.0), (1.5, 1.2), (2.5, 2.0), (0.5, 2.5), (0.0, 1e30), (-1.0, 1e30)]
)
def test_a_claimed_loss_is_measured_by_the_references_either_way(claimed, figure):
    reference = ScoredPoint(step=7, training_loss=1.25, heldout={})
    case = SimpleNamespace(bounds=BOUNDS, shards=())
    checks = Checks()
    if figure > BOUNDS.max_reference_claim_ratio:
        with pytest.raises(CheckFailed) as failed:
            check_claim(case, None, {}, (claimed, 7), reference, checks)
        assert (failed.value.check.name, failed.value.check.bound) == ("claim-of-reference", 1.2)
    else:
        check_claim(case, None, {}, (claimed, 7), reference, checks)
        assert checks.remarks == ["the claimed loss was not checked: no published shards are at hand"]
    assert checks.made[0].figure == pytest.approx(figure)
    check_claim(case, None, {}, (claimed, 7), None, checks)


def test_a_claim_beside_a_reference_without_a_loss_is_infinitely_far_off():
    reference = ScoredPoint(step=7, training_loss=0.0, heldout={})
    with pytest.raises(CheckFailed) as failed:
        check_claim(SimpleNamespace(bounds=BOUNDS, shards=()), None, {}, (1.0, 7), reference, Checks())
    assert failed.value.check.figure == 1e30
