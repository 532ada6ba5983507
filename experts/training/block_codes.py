"""Small floating-point codes: 8 bits a value, and a common power of two for each block of 256 values.

    value = +-(1 + m / 2^M) 2^(k - octaves) 2^(e - 127)      k: high bits of the code, m: its low M bits; code 0: zero
    e                                                        one byte a block, the exponent of its power of two

Rounding to the nearest code is integer arithmetic on the bits of float32, and scaling by a power of two is exact: all
machines find the same codes. Every byte stands for a finite value with a finite square.

Source: blocks of optimizer state, Dettmers et al., arXiv 2110.02861; shared powers of two, Rouhani et al., arXiv
2310.10537.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 256
"""Values with a common power of two."""
_FLOAT_MANTISSA = 23
_FLOAT_BIAS = 127
_EXPONENTS = (80, 190)
"""Of a block, others count as the nearest of these: so all values and their squares are normal numbers of float32."""
_SIGN = 128


@dataclass(frozen=True)
class BlockCode:
    """How the 8 bits of a value are divided."""

    mantissa_bits: int
    """M: the relative error is at most 2^-(M + 1)."""
    is_signed: bool
    """One bit is the sign; small values become zero. Else no value but zero does."""

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Round to the nearest codes.

        Args:
            values: Any shape, float32, on the CPU.

        Returns:
            Codes in that shape and the blocks' exponents `[num_blocks(count)]`, both uint8.
        """
        flat = values.flatten()
        blocks = F.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
        magnitudes = blocks.abs()
        bits = magnitudes.amax(dim=1).view(torch.int32)
        exponents = ((bits >> _FLOAT_MANTISSA) + 1).clamp(*_EXPONENTS)
        shares = magnitudes / _power_of_two(exponents)
        codes = self._nearest(shares)
        if self.is_signed:
            codes += _SIGN * ((blocks < 0) & (codes > 0))
        return codes.flatten()[: flat.numel()].view(values.shape).to(torch.uint8), exponents.to(torch.uint8)

    def decode(self, codes: Tensor, exponents: Tensor) -> Tensor:
        """The values of codes from anywhere, float32 in the codes' shape; all are finite."""
        flat = codes.flatten().int()
        codes_of_blocks = F.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
        magnitudes = codes_of_blocks & self._largest
        shares = ((magnitudes + self._smallest) << self._shift).view(torch.float32)
        values = shares.where(magnitudes > 0, 0.0) * _power_of_two(exponents.int().clamp(*_EXPONENTS))
        if self.is_signed:
            values = torch.where(codes_of_blocks >= _SIGN, -values, values)
        return values.flatten()[: flat.numel()].view(codes.shape)

    def _nearest(self, shares: Tensor) -> Tensor:
        """Codes, without a sign, of shares in [0, 1) of the blocks' powers of two; ties to even, as float32 rounds."""
        bits = shares.view(torch.int32)
        half = (1 << (self._shift - 1)) - 1 + ((bits >> self._shift) & 1)
        codes = (((bits + half) >> self._shift) - self._smallest).clamp(1, self._largest)
        # A second moment of zero under a mean that is not would make a step explode: only zero becomes zero.
        half_of_least = (1.0 + 2.0**-self.mantissa_bits) * 2.0 ** -(self._octaves + 1)
        return codes.where(shares > (half_of_least if self.is_signed else 0.0), 0)

    @property
    def _largest(self) -> int:
        return 127 if self.is_signed else 255

    @property
    def _octaves(self) -> int:
        return (self._largest + 1) >> self.mantissa_bits

    @property
    def _shift(self) -> int:
        return _FLOAT_MANTISSA - self.mantissa_bits

    @property
    def _smallest(self) -> int:
        """The high bits of 2^-octaves as float32, which code 0 would stand for."""
        return (_FLOAT_BIAS - self._octaves) << self.mantissa_bits


def num_blocks(count: int) -> int:
    """Blocks of so many values."""
    return -(-count // BLOCK)


def _power_of_two(exponents: Tensor) -> Tensor:
    """2^(e - 127) `[blocks, 1]` for exponents `[blocks]` of 1 to 254, as the bits of a float32."""
    return (exponents << _FLOAT_MANTISSA).view(torch.float32)[:, None]
