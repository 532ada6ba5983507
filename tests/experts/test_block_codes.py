"""Codes of 8 bits for values in blocks: compared with a search through all values that a block can have."""

from __future__ import annotations

import math

import pytest
import torch

from paris.experts.training.block_codes import BLOCK, BlockCode, num_blocks
from paris.experts.training.needs import CODED_BLOCK

CODES = [BlockCode(4, is_signed=True), BlockCode(3, is_signed=True), BlockCode(4, is_signed=False)]
ids = ["fine", "wide", "unsigned"]


def levels(code: BlockCode, exponent: int) -> list[float]:
    """All values of a block, by the formula of the module's docstring."""
    bits = 7 if code.is_signed else 8
    octaves, parts = 2 ** (bits - code.mantissa_bits), 2**code.mantissa_bits
    scale = 2.0 ** (exponent - 127)
    sizes = [(1 + number % parts / parts) * 2.0 ** (number // parts - octaves) * scale for number in range(1, 2**bits)]
    return [0.0, *sizes, *([-size for size in sizes] if code.is_signed else [])]


def spread(code: BlockCode, count: int = 3 * BLOCK + 5) -> torch.Tensor:
    """Values over many orders of magnitude, with zeros."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(count, generator=generator) * 10 ** torch.empty(count).uniform_(-6, 3, generator=generator)
    values[::50] = 0.0
    return values if code.is_signed else values.abs()


@pytest.mark.parametrize("code", CODES, ids=ids)
def test_every_byte_stands_for_the_value_of_the_formula_and_all_are_finite(code: BlockCode) -> None:
    every = torch.arange(256, dtype=torch.uint8)
    for byte in (80, 100, 127, 190):
        found = code.decode(every, torch.tensor([byte], dtype=torch.uint8))
        zeros = [0.0] if code.is_signed else []  # minus zero
        assert sorted(found.tolist()) == sorted(levels(code, byte) + zeros)
    for byte, like in ((0, 80), (79, 80), (191, 190), (255, 190)):
        outside, nearest = (code.decode(every, torch.tensor([e], dtype=torch.uint8)) for e in (byte, like))
        assert torch.equal(outside, nearest)
        assert bool(outside.square().isfinite().all())
        assert float(outside[outside != 0].square().min()) >= torch.finfo(torch.float32).tiny


@pytest.mark.parametrize("code", CODES, ids=ids)
def test_a_value_becomes_the_nearest_one_that_its_block_has(code: BlockCode) -> None:
    values = spread(code)
    codes, exponents = code.encode(values)
    found = code.decode(codes, exponents).tolist()
    for index, value in enumerate(values.tolist()):
        known = levels(code, int(exponents[index // BLOCK]))
        if not code.is_signed and value > 0:
            known = known[1:]
        assert abs(found[index] - value) == min(abs(level - value) for level in known)


@pytest.mark.parametrize("code", CODES, ids=ids)
def test_values_that_fit_are_coded_without_loss(code: BlockCode) -> None:
    first = code.decode(*code.encode(spread(code)))
    again = code.decode(*code.encode(first))
    assert torch.equal(first, again)


@pytest.mark.parametrize("code", CODES, ids=ids)
def test_the_relative_error_of_large_values_is_at_most_half_a_step(code: BlockCode) -> None:
    values = 1.0 + torch.rand(BLOCK, generator=torch.Generator().manual_seed(2))
    found = code.decode(*code.encode(values))
    assert float((found / values - 1).abs().max()) <= 2.0 ** -(code.mantissa_bits + 1) + 1e-6


def test_a_small_second_moment_does_not_become_zero_and_a_zero_stays_one() -> None:
    values = torch.tensor([1.0, 1e-20, 0.0])
    found = CODES[2].decode(*CODES[2].encode(values)).tolist()
    assert found[0] == pytest.approx(1.0, rel=0.04)
    assert found[1] > 0.0
    assert found[2] == 0.0


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (BLOCK,), (2, BLOCK + 1)])
def test_shapes_are_kept_and_blocks_counted(shape: tuple[int, ...]) -> None:
    values = torch.ones(shape)
    codes, exponents = CODES[0].encode(values)
    assert codes.shape == values.shape
    assert exponents.shape == (num_blocks(math.prod(shape)),)
    assert CODES[0].decode(codes, exponents).shape == values.shape


def test_the_plan_counts_blocks_of_the_same_size() -> None:
    assert CODED_BLOCK == BLOCK
