"""Cards that volunteers may have, and their assumed rates (`cards.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from paris.coordinator.planning.speed import Speed

_GB = 10**9
_TERA = 10**12
_HALF = ("bfloat16", "float16")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Assumed(_Closed):
    """What is assumed of all cards."""

    half_utilisation: Annotated[float, Field(gt=0, le=1)]
    """Part of the peak that training reaches in bfloat16 or float16."""
    float32_utilisation: Annotated[float, Field(gt=0, le=1)]
    layer_s: Annotated[float, Field(ge=0)]
    """Python and kernel launches of a layer, for each piece of a batch."""

    def utilisation(self, precision: str) -> float:
        """Part of the peak in a precision of `TrainingConfig`."""
        return self.half_utilisation if precision in _HALF else self.float32_utilisation


class Card(_Closed):
    """One card of the table."""

    name: str
    memory_gb: Annotated[float, Field(gt=0)]
    """As sold: 10^9 bytes each."""
    float32_tflops: Annotated[float, Field(gt=0)]
    bfloat16_tflops: Annotated[float, Field(ge=0)]
    """0: the card has no bfloat16."""
    float16_tflops: Annotated[float, Field(ge=0)]

    @property
    def memory_bytes(self) -> int:
        """Memory of the card."""
        return int(self.memory_gb * _GB)

    def speed(self, precision: str, assumed: Assumed) -> Speed | None:
        """The assumed speed in a precision of `TrainingConfig`; None if the card lacks the precision."""
        peaks = {"float32": self.float32_tflops, "bfloat16": self.bfloat16_tflops, "float16": self.float16_tflops}
        rate = peaks[precision] * _TERA * assumed.utilisation(precision)
        return Speed(flops_per_s=rate, layer_s=assumed.layer_s) if rate else None


class CardTable(_Closed):
    """cards.toml."""

    assumed: Assumed
    card: tuple[Card, ...]
    """The commonest first."""


@cache
def load_cards() -> CardTable:
    """The packaged table."""
    text = files("paris.coordinator.planning").joinpath("cards.toml").read_text("utf-8")
    return CardTable.model_validate(tomllib.loads(text))
