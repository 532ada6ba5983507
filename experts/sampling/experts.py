"""Experts by number, all in memory or not, and the router that joins them.

Shapes: B rows, K experts, C channels, H and W picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.objectives.objectives import VelocityModel

RouterModel: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(x [B, C, H, W], t [B])` to logits `[B, K]`: `log p(k | x_t)` up to a constant a row."""


class ExpertSource(ABC):
    """Experts by number."""

    @property
    @abstractmethod
    def config(self) -> Any:
        """The shape of an expert: has `in_channels` and `image_size`, which all experts share."""

    @abstractmethod
    def keys(self) -> Collection[int]:
        """Numbers of the experts."""

    @abstractmethod
    def __getitem__(self, number: int, /) -> VelocityModel:
        """The expert, ready to compute until another one is taken."""

    def prefetch(self, number: int, /) -> None:  # noqa: B027 - does nothing where all are in memory
        """Start to fetch the expert that is needed next, and return at once."""

    def exclusive(self) -> AbstractContextManager[object]:
        """A context in which no other thread takes an expert; by default any number of threads may at once."""
        return nullcontext()

    @property
    def resident(self) -> Collection[int]:
        """Numbers of the experts that need no fetching; all by default."""
        return self.keys()

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of what the experts make."""
        return self.config.in_channels, self.config.image_size, self.config.image_size


class ExpertMap(ExpertSource):
    """Experts in memory.

    Args:
        experts: By number; those of a sequence are numbered from 0.

    Raises:
        SamplingError: There is none.
    """

    def __init__(self, experts: Mapping[int, VelocityModel] | Sequence[VelocityModel]) -> None:
        self._experts = dict(experts) if isinstance(experts, Mapping) else dict(enumerate(experts))
        if not self._experts:
            raise SamplingError("There is no expert to sample from.")

    @property
    def config(self) -> Any:
        """See `ExpertSource.config`."""
        return self._experts[min(self._experts)].config

    def keys(self) -> Collection[int]:
        """See `ExpertSource.keys`."""
        return self._experts.keys()

    def __getitem__(self, number: int, /) -> VelocityModel:
        """The expert."""
        return self._experts[number]


@dataclass(frozen=True)
class Ensemble:
    """Experts and their router: what is sampled as one model."""

    experts: ExpertSource
    """All K, or some by number: the others then count nothing, and these share their weight."""
    router: RouterModel | None = None
    """None where there is one expert alone. A `Router` with `sees_prompt` is given the prompts too."""
